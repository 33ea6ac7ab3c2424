#include "runtime/request.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace pikv::runtime {
namespace {

using Json = nlohmann::json;

struct OutputLineTest : ::testing::Test {
  std::unique_ptr<Tokenizer> tokenizer = make_tokenizer("no-folder", {.vocab = 256, .eos = {3}});
  Request request{.index = 4, .id = "a", .prompt = {1, 2}};
  Result result{.index = 4, .prompt_tokens = 2, .tokens = {'h', 'i', '!', 3}, .finish = Finish::eos, .arrival = 1, .first_token = 1.5, .end = 3};
  Json line() const { return Json::parse(output_line(request, result, tokenizer.get())); }
};

TEST_F(OutputLineTest, HoldsWhatTheInterfaceSaysInItsOrder) {
  EXPECT_EQ(output_line(request, result, tokenizer.get()),
            R"({"id":"a","prompt_tokens":2,"tokens":[104,105,33,3],"text":"hi!","finish":"eos","ttft_s":0.5,"tpot_s":0.5})");
}

TEST_F(OutputLineTest, EndsTheTextBeforeTheFirstStopString) {
  request.stop = {"!", "i!"};
  result.finish = Finish::stop;
  EXPECT_EQ(line()["text"], "h");
  EXPECT_EQ(line()["tokens"].size(), 4u);
  EXPECT_EQ(line()["finish"], "stop");
}

TEST_F(OutputLineTest, HasNoTextWithoutATokenizer) { EXPECT_TRUE(Json::parse(output_line(request, result, nullptr))["text"].is_null()); }

TEST_F(OutputLineTest, StaysJsonWhenTheBytesAreNotUtf8) {
  result.tokens = {'a', 0xFF, '"', '\n', 0};
  request.id = "\xC3";
  EXPECT_EQ(line()["text"], (std::string{"a\xEF\xBF\xBD\"\n\0", 7}));
  EXPECT_EQ(line()["id"], "\xEF\xBF\xBD");
}

TEST_F(OutputLineTest, SaysWhatWentWrong) {
  result = {.index = 4, .prompt_tokens = 2, .finish = Finish::error, .error = "page 3 was lost"};
  EXPECT_EQ(line()["error"], "page 3 was lost");
  EXPECT_EQ(line()["finish"], "error");
  EXPECT_EQ(line()["tokens"], Json::array());
  EXPECT_TRUE(line()["ttft_s"].is_null());
  EXPECT_TRUE(line()["tpot_s"].is_null());
}

TEST_F(OutputLineTest, HasNoTimePerTokenForOneToken) {
  result.tokens = {'x'};
  EXPECT_EQ(line()["ttft_s"], 0.5);
  EXPECT_TRUE(line()["tpot_s"].is_null());
  EXPECT_FALSE(line().contains("error"));
}

TEST(Finish, HasTheNamesOfTheInterface) {
  EXPECT_STREQ(to_string(Finish::eos), "eos");
  EXPECT_STREQ(to_string(Finish::length), "length");
  EXPECT_STREQ(to_string(Finish::stop), "stop");
  EXPECT_STREQ(to_string(Finish::error), "error");
}

}   // namespace
}   // namespace pikv::runtime
