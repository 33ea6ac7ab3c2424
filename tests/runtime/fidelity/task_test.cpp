#include "runtime/fidelity/task.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "runtime/model/sentencepiece.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using Ids = std::vector<std::int32_t>;

constexpr std::int32_t bos_id = 70000;

/// Two bytes a token, so that what is appended may change the last one; with a bos.
class Pairs : public Tokenizer {
 public:
  Ids encode(std::string_view text) const override {
    Ids ids;
    for (std::size_t i = 0; i < text.size(); i += 2) ids.push_back(byte(text, i) + 256 * (i + 1 < text.size() ? byte(text, i + 1) : 0));
    return ids;
  }
  std::string decode(Ids const& ids) const override {
    std::string text;
    for (std::int32_t const id : ids) {
      if (id == bos_id) continue;
      text.push_back(static_cast<char>(id % 256));
      if (id >= 256) text.push_back(static_cast<char>(id / 256));
    }
    return text;
  }
  std::int32_t bos() const override { return bos_id; }

 private:
  static std::int32_t byte(std::string_view text, std::size_t i) { return static_cast<unsigned char>(text[i]); }
};

Ids joined(EvalTask const& task) {
  Ids all = task.context;
  all.insert(all.end(), task.follow.begin(), task.follow.end());
  return all;
}

TEST(TextTasks, EachWindowBeginsWithBosAndTogetherTheyAreTheText) {
  Ids text(23);
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<std::int32_t>(i);
  for (std::int32_t const bos : {-1, bos_id}) {
    auto const tasks = text_tasks({text, bos}, 8);
    ASSERT_EQ(tasks.size(), 2u);
    Ids all;
    for (EvalTask const& task : tasks) {
      auto ids = joined(task);
      if (bos >= 0) {
        EXPECT_EQ(ids.front(), bos);
        ids.erase(ids.begin());
      }
      EXPECT_EQ(ids.size(), 8u);
      EXPECT_EQ(task.follow.size(), 4u);
      all.insert(all.end(), ids.begin(), ids.end());
    }
    EXPECT_TRUE(std::ranges::equal(all, std::span{text}.first(16)));
  }
}

TEST(TextIds, WhatTheLinesBeginWithIsBosAndNotPartOfTheText) {
  std::string const with = "{\"prompt_ids\": [1, 5, 6]}\n\n{\"prompt_ids\": [1, 7]}\n{\"prompt_ids\": [8, 1]}\n";
  auto const ids = read_ids(with, "x.jsonl", 10, 1);
  EXPECT_EQ(ids.bos, 1);
  EXPECT_THAT(ids.ids, ElementsAre(5, 6, 7, 8, 1));
}

TEST(TextIds, TextWithoutBosIsTakenAsItIs) {
  std::string const without = "{\"prompt_ids\": [5, 6]}\n{\"prompt_ids\": [1, 7]}\n";
  for (std::int32_t const bos : {-1, 1}) {
    auto const ids = read_ids(without, "x.jsonl", 10, bos);
    EXPECT_EQ(ids.bos, -1);
    EXPECT_THAT(ids.ids, ElementsAre(5, 6, 1, 7));
  }
}

/// What is measured: its text is context, question and answer; bos comes first, and once; what is scored is the answer.
void expect_sound(Tokenizer const& tokenizer, std::string const& haystack, bool whole_tokens) {
  auto const tasks = needle_tasks({.count = 30, .length = 120, .seed = 5}, haystack, tokenizer);
  ASSERT_EQ(tasks.size(), 30u);
  for (EvalTask const& task : tasks) {
    auto const all = joined(task);
    EXPECT_EQ(all.front(), tokenizer.bos());
    EXPECT_EQ(std::ranges::count(all, tokenizer.bos()), 1);
    EXPECT_GE(task.scored_from, 1);
    auto const from = task.follow.begin() + task.scored_from;
    std::string const scored = tokenizer.decode({from, task.follow.end()}), before = tokenizer.decode({task.follow.begin(), from});
    std::string const text = tokenizer.decode(all);
    std::string const answer = text.substr(text.size() - 6);   // a space and five digits
    EXPECT_EQ(answer[0], ' ');
    EXPECT_TRUE(std::ranges::all_of(answer.substr(1), [](unsigned char c) { return std::isdigit(c) != 0; })) << answer;
    EXPECT_THAT(scored, EndsWith(answer));
    EXPECT_LE(scored.size(), answer.size() + (whole_tokens ? 0 : 1));
    EXPECT_THAT(before + scored, EndsWith(" is" + answer));
    EXPECT_NE(text.find(answer.substr(1) + "."), text.size() - 5) << "the fact is in the context";
    EXPECT_LT(text.find("The number of"), text.size() - before.size());
  }
}

std::string words(std::string const& word) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += word + std::string(static_cast<std::size_t>(i % 3), 'x') + " ";
  return text;
}

TEST(NeedleTasks, ScoreTheAnswerWhereTokensReachOverTheSeam) { expect_sound(Pairs{}, words("meadow"), false); }

TEST(NeedleTasks, CutNoCharacterOfSeveralBytes) {
  std::string haystack;
  for (int i = 0; i < 300; ++i) haystack += "ü€𝄞 ";
  class Bytes : public Pairs {
    Ids encode(std::string_view text) const override { return {text.begin(), text.end()}; }
  };
  for (EvalTask const& task : needle_tasks({.count = 60, .length = 200, .seed = 9}, haystack, Bytes{})) {
    std::string text;
    for (std::size_t i = 1; i < task.context.size(); ++i) text.push_back(static_cast<char>(task.context[i]));
    for (std::size_t i = 0; i < text.size();) {
      auto const lead = static_cast<unsigned char>(text[i]);
      std::size_t const length = lead < 0x80 ? 1 : lead < 0xC0 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
      ASSERT_TRUE(length > 0 && i + length <= text.size()) << "byte " << i << " of " << text.size();
      for (std::size_t j = 1; j < length; ++j) ASSERT_EQ(static_cast<unsigned char>(text[i + j]) & 0xC0, 0x80);
      i += length;
    }
  }
}

TEST(NeedleTasks, OfASentencepieceModelBeginWithBosAndScoreTheAnswerAlone) {
  if (!sentencepiece_built_in()) GTEST_SKIP() << "this build is without sentencepiece";
  auto const tokenizer = make_sentencepiece(test::data_folder() / "sentencepiece", {.vocab = 500});
  ASSERT_GE(tokenizer->bos(), 0);
  expect_sound(*tokenizer, words("meadow") + "\n" + words("Über größe"), true);
}

}   // namespace
}   // namespace pikv::runtime
