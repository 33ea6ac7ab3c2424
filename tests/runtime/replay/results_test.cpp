#include "runtime/replay/results.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/runtime/replay/made_reads.hpp"

namespace pikv::runtime::replay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> names_of(std::vector<Result> const& results) {
  std::vector<std::string> names;
  for (Result const& result : results) names.push_back(result.policy);
  return names;
}

Reads const three_pages = reads_of({{1, 2, 3}, {1, 2, 3}});

TEST(ResultsTest, LruStandsFirstAndBeladyLastWhateverIsAskedFor) {
  EXPECT_THAT(names_of(replay_all(three_pages, std::vector<std::string>{"arc", "belady", "s3fifo", "arc", "lru"}, std::vector<Page>{1, 2})),
              ElementsAre("lru", "arc", "s3fifo", "belady", "lru", "arc", "s3fifo", "belady"));
}

TEST(ResultsTest, TheCsvHasAllCountsOfEachPolicyAndCapacity) {
  EXPECT_EQ(csv_of(replay_all(three_pages, {}, std::vector<Page>{2, 3})),
            "policy,capacity,reads,hits,misses,hit_rate,prefix_hits\n"
            "lru,2,6,0,6,0,0\n"
            "belady,2,6,2,4,0.3333333333333333,1\n"
            "lru,3,6,3,3,0.5,3\n"
            "belady,3,6,3,3,0.5,3\n");
}

TEST(ResultsTest, TheTableSaysHowFarBeladyIs) {
  auto const text = table_text(replay_all(three_pages, {}, std::vector<Page>{2}));
  EXPECT_THAT(text, ::testing::ContainsRegex("2  lru .* 6 .* 0 .* 6 +0.00 % +0.00 % +33.33 %"));
}

TEST(ResultsTest, TheRateOfNoReadsIsNotANumber) {
  auto const results = replay_all(reads_of({{}}), {}, std::vector<Page>{1});
  EXPECT_THAT(table_text(results), HasSubstr("n/a"));
  EXPECT_THAT(csv_of(results), HasSubstr("lru,1,0,0,0,,0\n"));
  EXPECT_TRUE(json_of(results)[0]["hit_rate"].is_null());
}

TEST(ResultsTest, TheCurveHasALinePerCapacity) {
  EXPECT_EQ(csv_of(lru_curve(three_pages), 6), "capacity,hits,hit_rate,prefix_hits\n1,0,0,0\n2,0,0,0\n3,3,0.5,3\n");
}

TEST(ResultsTest, TheReportHasTheSameCountsAsTheCsv) {
  auto const json = json_of(replay_all(three_pages, {}, std::vector<Page>{2}));
  EXPECT_EQ(json[1], (nlohmann::ordered_json{
                         {"policy", "belady"}, {"capacity", 2}, {"reads", 6}, {"hits", 2}, {"misses", 4}, {"hit_rate", 1. / 3}, {"prefix_hits", 1}}));
}

}   // namespace
}   // namespace pikv::runtime::replay
