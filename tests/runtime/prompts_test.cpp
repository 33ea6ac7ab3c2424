#include "runtime/prompts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/runtime/model/model_files.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::runtime {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class WithBos : public Tokenizer {
 public:
  std::vector<std::int32_t> encode(std::string_view text) const override { return std::vector<std::int32_t>(text.size(), 9); }
  std::string decode(std::vector<std::int32_t> const&) const override { return ""; }
  std::int32_t bos() const override { return 7; }
};

struct PromptsTest : ::testing::Test {
  std::vector<Request> read(std::string const& input, PromptFormat format = PromptFormat::automatic, std::string const& name = "in") const {
    std::istringstream in{input};
    return read_prompts(in, name, format, context);
  }
  std::string complaint(std::string const& input, PromptFormat format = PromptFormat::jsonl) const {
    return test::complaint([&] { read(input, format); });
  }

  ModelConfig config{.vocab = 256, .max_positions = 100, .eos = {3}};
  std::unique_ptr<Tokenizer> bytes = make_tokenizer("no-folder", config);
  PromptContext context{.config = config, .tokenizer = bytes.get(), .max_new_tokens = 64};
};

TEST_F(PromptsTest, ReadsEveryKeyOfAJsonLine) {
  auto const requests = read(R"({"id": "a", "prompt": "h\u00e9", "max_new_tokens": 32, "stop": ["\n", "x"], "arrival_s": 0.5})"
                             "\n"
                             R"({"prompt_ids": [1, 3, 255]})");
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].id, "a");
  EXPECT_THAT(requests[0].prompt, ElementsAre('h', 0xC3, 0xA9));
  EXPECT_EQ(requests[0].max_new_tokens, 32);
  EXPECT_THAT(requests[0].stop, ElementsAre("\n", "x"));
  EXPECT_EQ(requests[0].arrival_s, 0.5);
  EXPECT_EQ(requests[0].refused, "");
  EXPECT_EQ(requests[1].index, 1);
  EXPECT_EQ(requests[1].id, "1");
  EXPECT_THAT(requests[1].prompt, ElementsAre(1, 3, 255));
  EXPECT_EQ(requests[1].max_new_tokens, 64);
  EXPECT_THAT(requests[1].stop, IsEmpty());
  EXPECT_EQ(requests[1].refused, "");
}

TEST_F(PromptsTest, ReadsOnePromptALineOfText) {
  auto const requests = read("one\r\ntwo {\"\nthree");
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_THAT(requests[0].prompt, ElementsAre('o', 'n', 'e'));
  EXPECT_THAT(requests[1].prompt, ElementsAre('t', 'w', 'o', ' ', '{', '"'));
  EXPECT_EQ(requests[2].id, "2");
}

TEST_F(PromptsTest, TellsTheFormByNameOrFirstCharacter) {
  EXPECT_THAT(read(R"({"prompt": "a"})")[0].prompt, ElementsAre('a'));
  EXPECT_THAT(read(R"( {"prompt": "a"})", PromptFormat::automatic, "x.jsonl")[0].prompt, ElementsAre('a'));
  EXPECT_EQ(read(R"({"prompt": "a"})", PromptFormat::text)[0].prompt.size(), 15u);
  EXPECT_EQ(prompt_format("jsonl"), PromptFormat::jsonl);
  EXPECT_EQ(prompt_format("text"), PromptFormat::text);
  EXPECT_EQ(prompt_format("auto"), PromptFormat::automatic);
  EXPECT_THAT(test::complaint([] { prompt_format("csv"); }), HasSubstr("--prompt-format=csv"));
}

TEST_F(PromptsTest, GivesTextABosAndIdsNone) {
  WithBos const tokenizer;
  context.tokenizer = &tokenizer;
  EXPECT_THAT(read(R"({"prompt": "ab"})")[0].prompt, ElementsAre(7, 9, 9));
  EXPECT_THAT(read(R"({"prompt": ""})")[0].prompt, ElementsAre(7));
  EXPECT_EQ(read(R"({"prompt": ""})")[0].refused, "");
  EXPECT_THAT(read(R"({"prompt_ids": [1]})")[0].prompt, ElementsAre(1));
}

TEST_F(PromptsTest, NamesTheLineThatHasAnotherForm) {
  struct Case {
    char const* line;
    char const* says;
  };
  for (auto const& [line, says] : {Case{"hello", "not valid JSON"},
                                   {"", "not valid JSON"},
                                   {"[1]", "not a JSON object"},
                                   {"{\"prompt\": \"\xFF\"}", "not UTF-8"},
                                   {R"({"prompt": "\ud800"})", "not valid JSON"},
                                   {R"({"prompt": "a", "prompt": "b"})", "occurs twice"},
                                   {R"({"prompt": "a", "promt": 1})", "unknown key \"promt\""},
                                   {R"({})", "exactly one of"},
                                   {R"({"prompt": "a", "prompt_ids": [1]})", "exactly one of"},
                                   {R"({"prompt": 7})", "\"prompt\" that is not a string"},
                                   {R"({"prompt": null})", "\"prompt\" that is not a string"},
                                   {R"({"prompt": "a", "id": 7})", "\"id\" that is not a string"},
                                   {R"({"prompt": "a", "id": ""})", "empty \"id\""},
                                   {R"({"prompt_ids": 7})", "not a list"},
                                   {R"({"prompt_ids": [1, "2"]})", "not whole numbers"},
                                   {R"({"prompt_ids": [1.5]})", "not whole numbers"},
                                   {R"({"prompt": "a", "max_new_tokens": 0})", "whole number from 1"},
                                   {R"({"prompt": "a", "max_new_tokens": -3})", "whole number from 1"},
                                   {R"({"prompt": "a", "max_new_tokens": 1.5})", "whole number from 1"},
                                   {R"({"prompt": "a", "stop": "x"})", "not a list of strings"},
                                   {R"({"prompt": "a", "stop": [1]})", "\"stop\" that is not a string"},
                                   {R"({"prompt": "a", "stop": [""]})", "empty string in \"stop\""},
                                   {R"({"prompt": "a", "arrival_s": -1})", "arrival_s"},
                                   {R"({"prompt": "a", "arrival_s": "1"})", "arrival_s"},
                                   {R"({"prompt": "a", "arrival_s": 1e999})", "out of range"}})
    EXPECT_THAT(complaint("{\"prompt\": \"good\"}\n" + std::string{line} + "\n"), AllOf(HasSubstr("in line 2"), HasSubstr(says))) << line;
}

TEST_F(PromptsTest, RefusesTextThatIsNotUtf8) {
  for (char const* line : {"\xFF", "\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80"})
    EXPECT_THAT(complaint("good\n" + std::string{line}, PromptFormat::text), AllOf(HasSubstr("in line 2"), HasSubstr("not UTF-8")));
}

TEST_F(PromptsTest, RefusesInputWithoutPrompts) {
  EXPECT_THAT(complaint("", PromptFormat::automatic), HasSubstr("in holds no prompts"));
  EXPECT_THAT(complaint("", PromptFormat::jsonl), HasSubstr("in holds no prompts"));
}

TEST_F(PromptsTest, RefusesTheSameIdTwiceAlsoIfOneIsAPlace) {
  EXPECT_THAT(complaint("{\"prompt\": \"a\", \"id\": \"x\"}\n{\"prompt\": \"b\"}\n{\"prompt\": \"c\", \"id\": \"x\"}"),
              HasSubstr("in lines 1 and 3 have the same id \"x\""));
  EXPECT_THAT(complaint("{\"prompt\": \"a\", \"id\": \"1\"}\n{\"prompt\": \"b\"}"), HasSubstr("in lines 1 and 2 have the same id \"1\""));
}

TEST_F(PromptsTest, LetsTheOthersRunWhenTheModelCannotTakeOne) {
  auto const requests = read(R"({"prompt_ids": [1, 256, -1]})"
                             "\n"
                             R"({"prompt_ids": [18446744073709551615]})"
                             "\n"
                             R"({"prompt": ""})"
                             "\n"
                             R"({"prompt_ids": []})"
                             "\n"
                             R"({"prompt": "a", "max_new_tokens": 100})"
                             "\n"
                             R"({"prompt": "a", "max_new_tokens": 99999999999})"
                             "\n"
                             R"({"prompt": "a", "max_new_tokens": 99})",
                             PromptFormat::jsonl);
  EXPECT_THAT(requests.at(0).refused, HasSubstr("token id 256 is outside the model's vocabulary of 256"));
  EXPECT_THAT(requests.at(0).prompt, ElementsAre(1, -1, -1));
  EXPECT_THAT(requests.at(1).refused, HasSubstr("outside the model's vocabulary"));
  EXPECT_THAT(requests.at(2).refused, HasSubstr("prompt is empty"));
  EXPECT_THAT(requests.at(3).refused, HasSubstr("prompt is empty"));
  EXPECT_THAT(requests.at(4).refused, HasSubstr("a prompt of 1 tokens and 100 new ones are more than the model's 100 positions"));
  EXPECT_THAT(requests.at(5).refused, HasSubstr("positions"));
  EXPECT_EQ(requests.at(6).refused, "");
}

TEST_F(PromptsTest, NeedsATokenizerForTextAndStopStrings) {
  context.tokenizer = nullptr;
  EXPECT_THAT(read(R"({"prompt_ids": [5]})")[0].prompt, ElementsAre(5));
  EXPECT_THAT(complaint(R"({"prompt": "a"})"), AllOf(HasSubstr("in line 1"), HasSubstr("tokenizer is not supported")));
  EXPECT_THAT(complaint(R"({"prompt_ids": [5], "stop": ["a"]})"), HasSubstr("has stop strings"));
  EXPECT_THAT(complaint("a", PromptFormat::text), HasSubstr("tokenizer is not supported"));
  context.no_tokenizer = "try tokenize.py";
  EXPECT_THAT(complaint("a", PromptFormat::text), HasSubstr("not supported here (try tokenize.py); give JSON lines"));
}

TEST_F(PromptsTest, ReadsFiles) {
  test::ScratchFolder const folder;
  auto const path = test::write_file(folder.path() / "p.txt", "a\nb\n");
  EXPECT_EQ(read_prompt_file(path, PromptFormat::automatic, context).size(), 2u);
  EXPECT_THAT(test::complaint([&] { read_prompt_file(folder.path() / "absent", PromptFormat::automatic, context); }),
              AllOf(HasSubstr("absent"), HasSubstr("No such file")));
  EXPECT_THAT(test::complaint([&] { read_prompt_file(folder.path(), PromptFormat::automatic, context); }), HasSubstr("could not read"));
}

TEST_F(PromptsTest, TakesOnePromptFromTheCommandLine) {
  auto const requests = prompt_from_text("a\nb", context);
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].id, "0");
  EXPECT_THAT(requests[0].prompt, ElementsAre('a', '\n', 'b'));
  EXPECT_THAT(prompt_from_text("", context)[0].refused, HasSubstr("empty"));
  EXPECT_THAT(test::complaint([&] { prompt_from_text("\xFF", context); }), HasSubstr("--prompt is not UTF-8"));
}

TEST_F(PromptsTest, TheSamplePromptsAreGood) {
  config.max_positions = 8192;
  auto const requests = read_prompt_file(test::embedded_folder() / "prompts.jsonl", PromptFormat::automatic, context);
  EXPECT_GE(requests.size(), 6u);
  for (auto const& request : requests) EXPECT_EQ(request.refused, "") << request.id;
}

}   // namespace
}   // namespace pikv::runtime
