#include "runtime/replay/request_trace.hpp"

#include <gmock/gmock.h>

#include <sstream>

#include "comm/error.hpp"

namespace pikv::runtime::replay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Reads read(std::string const& text) {
  std::istringstream in{text};
  return read_requests(in, "t.jsonl");
}

std::string line(std::string const& timestamp, std::string const& ids) {
  return R"({"timestamp": )" + timestamp + R"(, "input_length": 700, "output_length": 3, "hash_ids": )" + ids + "}\n";
}

TEST(RequestTraceTest, PagesAreNumberedInTheOrderOfTheirFirstRead) {
  Reads const reads = read(line("0", "[46, 47, 18446744073709551615]") + line("10.5", "[46, 9]"));
  EXPECT_THAT(reads.pages, ElementsAre(0, 1, 2, 0, 3));
  EXPECT_THAT(reads.ends, ElementsAre(3, 5));
  EXPECT_EQ(reads.distinct, 4);
}

TEST(RequestTraceTest, ReadsALineOfThePublicMooncakeTrace) {
  Reads const reads = read(
      R"({"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 2353, 2354]})");
  EXPECT_EQ(reads.pages.size(), 14u);
}

TEST(RequestTraceTest, RequestsComeInTheOrderOfTheirTimestampsEqualOnesInThatOfTheFile) {
  Reads const reads = read(line("5", "[1]") + line("3", "[2]") + line("5", "[3]") + line("0", "[3]"));
  EXPECT_THAT(reads.pages, ElementsAre(0, 1, 2, 0));   // 3, 2, 1, 3
}

TEST(RequestTraceTest, FurtherKeysARequestWithoutBlocksAndAMissingLastNewlineAreFine) {
  Reads const reads = read(R"({"chat_id": "x", "timestamp": 0, "input_length": 0, "output_length": 0, "hash_ids": [], "turn": 1})");
  EXPECT_TRUE(reads.pages.empty());
  EXPECT_THAT(reads.ends, ElementsAre(0));
}

struct Bad {
  char const* name;
  std::string text, says;
};
class BadRequestTraceTest : public ::testing::TestWithParam<Bad> {};

TEST_P(BadRequestTraceTest, IsToldInOneSentenceWithTheNumberOfTheLine) {
  std::string sentence = "nothing";
  try {
    (void)read(line("0", "[1]") + GetParam().text);
  } catch (RunError const& error) {
    sentence = error.what();
  }
  EXPECT_THAT(sentence, StartsWith("t.jsonl line 2"));
  EXPECT_THAT(sentence, HasSubstr(GetParam().says));
  EXPECT_THAT(sentence, ::testing::Not(HasSubstr("\n")));
}

INSTANTIATE_TEST_SUITE_P(
    Lines, BadRequestTraceTest,
    ::testing::Values(Bad{"Empty", "\n", "JSON"}, Bad{"CutShort", R"({"timestamp": 1, )", "JSON"}, Bad{"NotUtf8", "\"\xff\"", "UTF-8"},
                      Bad{"AList", "[1]", "not a JSON object"}, Bad{"KeyTwice", R"({"timestamp": 1, "timestamp": 1})", "timestamp"},
                      Bad{"NoTimestamp", R"({"input_length": 1, "output_length": 1, "hash_ids": [1]})", "no \"timestamp\""},
                      Bad{"NoIds", R"({"timestamp": 1, "input_length": 1, "output_length": 1})", "no \"hash_ids\""},
                      Bad{"NoLength", R"({"timestamp": 1, "output_length": 1, "hash_ids": [1]})", "no \"input_length\""},
                      Bad{"NegativeTimestamp", line("-1", "[1]"), "\"timestamp\""}, Bad{"TimestampText", line("\"1\"", "[1]"), "\"timestamp\""},
                      Bad{"TimestampTooLarge", line("1e999", "[1]"), "out of range"}, Bad{"IdsNoList", line("1", "7"), "\"hash_ids\""},
                      Bad{"IdNegative", line("1", "[-1]"), "\"hash_ids\""}, Bad{"IdFraction", line("1", "[1.5]"), "\"hash_ids\""},
                      Bad{"IdTooLarge", line("1", "[18446744073709551616]"), "\"hash_ids\""}, Bad{"IdText", line("1", "[\"a\"]"), "\"hash_ids\""},
                      Bad{"LengthText", R"({"timestamp": 1, "input_length": "1", "output_length": 1, "hash_ids": [1]})", "\"input_length\""}),
    [](auto const& row) { return row.param.name; });

TEST(RequestTraceTest, ATraceOfNothingIsRefused) { EXPECT_THROW((void)read(""), RunError); }

TEST(RequestTraceTest, AFileThatIsNotThereOrAFolderIsRefused) {
  EXPECT_THROW((void)read_requests(std::filesystem::path{"no-such-file.jsonl"}), RunError);
  EXPECT_THROW((void)read_requests(std::filesystem::path{"."}), RunError);
}

}   // namespace
}   // namespace pikv::runtime::replay
