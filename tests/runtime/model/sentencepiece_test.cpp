#include "runtime/model/sentencepiece.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/runtime/model/model_files.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::runtime {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Ids = std::vector<std::int32_t>;

/// A copy of tests/data/sentencepiece/tokenizer.model in a folder of its own.
struct SentencePieceTest : ::testing::Test {
  void SetUp() override {
    if (!sentencepiece_built_in()) GTEST_SKIP() << "this build is without sentencepiece";
    std::filesystem::copy_file(test::data_folder() / "sentencepiece/tokenizer.model", folder.path() / "tokenizer.model");
  }
  std::unique_ptr<Tokenizer> make() const { return make_tokenizer(folder.path(), config); }
  std::string complaint() const {
    return test::complaint([&] { make(); });
  }
  void configure(char const* content) const { test::write_file(folder.path() / "tokenizer_config.json", content); }

  ModelConfig config{.vocab = 500};
  test::ScratchFolder folder;
};

TEST_F(SentencePieceTest, GivesTheIdsAndTextOfPythons) {
  auto const tokenizer = make();
  auto const cases = nlohmann::json::parse(test::read_file(test::data_folder() / "sentencepiece/cases.json"));
  ASSERT_GE(cases.size(), 15u);
  for (auto const& [_, one] : cases.items()) {
    auto const text = one["text"].get<std::string>();
    EXPECT_EQ(tokenizer->encode(text), one["ids"].get<Ids>()) << text;
    EXPECT_EQ(tokenizer->decode(one["ids"].get<Ids>()), one["continued"].get<std::string>()) << text;
  }
}

TEST_F(SentencePieceTest, DecodesTokenByTokenAsItDoesAtOnce) {   // stop strings are looked for in text that grows by a token
  auto const tokenizer = make();
  auto const ids = tokenizer->encode("\xE6\x9D\xB1 three  words \xF0\x9F\x99\x82");
  std::string grown;
  for (auto const id : ids) grown += tokenizer->decode({id});
  EXPECT_EQ(grown, tokenizer->decode(ids));
}

TEST_F(SentencePieceTest, LeavesSpecialTokensAndUnknownIdsOutOfText) {
  auto const tokenizer = make();
  auto ids = tokenizer->encode("word");
  ids.insert(ids.begin(), 1);                   // <s>
  ids.insert(ids.end(), {2, 0, 499 + 1, -1});   // </s>, <unk>, no pieces
  EXPECT_EQ(tokenizer->decode(ids), " word");
}

TEST_F(SentencePieceTest, BeginsATextWithBosUnlessItsConfigurationSaysNo) {
  EXPECT_EQ(make()->bos(), 1);
  configure("{}");
  EXPECT_EQ(make()->bos(), 1);
  configure(R"({"add_bos_token": false})");
  EXPECT_EQ(make()->bos(), -1);
  configure(R"({"add_bos_token": true, "add_eos_token": false})");
  EXPECT_EQ(make()->bos(), 1);
}

TEST_F(SentencePieceTest, GoesBeforeATokenizerOfAnotherKind) {
  test::write_file(folder.path() / "tokenizer.json", "{}");
  EXPECT_TRUE(make());
}

TEST_F(SentencePieceTest, RefusesWhatItCannotUse) {
  configure(R"({"add_bos_token": "yes"})");
  EXPECT_THAT(complaint(), AllOf(HasSubstr("tokenizer_config.json"), HasSubstr("add_bos_token is neither true nor false")));
  configure(R"({"add_eos_token": true})");
  EXPECT_THAT(complaint(), AllOf(HasSubstr("tokenizer_config.json"), HasSubstr("add_eos_token = true is not supported")));
  configure("[]");
  EXPECT_THAT(complaint(), HasSubstr("tokenizer_config.json is not a JSON object"));
  configure("{}");
  config.vocab = 499;
  EXPECT_THAT(complaint(), AllOf(HasSubstr("tokenizer.model has 500 pieces"), HasSubstr("vocab_size = 499")));
}

TEST_F(SentencePieceTest, RefusesADamagedFile) {
  auto const whole = test::read_file(folder.path() / "tokenizer.model");
  for (auto const& content : {std::string{}, std::string{"{}"}, whole.substr(0, whole.size() / 2), std::string(1000, '\xFF')}) {
    test::write_file(folder.path() / "tokenizer.model", content);
    EXPECT_THAT(complaint(), HasSubstr("tokenizer.model is not a sentencepiece model or is damaged"));
  }
}

}   // namespace
}   // namespace pikv::runtime
