#include "shards/homes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "comm/error.hpp"

namespace pikv::shards {
namespace {

std::vector<KvExpert> experts_of(std::string_view home, StreamId stream, KvExpert experts, std::vector<Block> const& blocks) {
  auto const policy = make_home_policy(home);
  std::vector<KvExpert> chosen;
  for (Block const block : blocks) chosen.push_back(policy->expert_of({.stream = stream, .block = block, .experts = experts}));
  return chosen;
}

/// Streams and blocks are numbered alike, so that a hash that mixes them poorly shows.
std::vector<int> counts_of(std::string_view home, int streams, Block blocks, KvExpert experts) {
  auto const policy = make_home_policy(home);
  std::vector<int> counts(static_cast<std::size_t>(experts));
  for (int s = 0; s < streams; ++s) {
    StreamId const stream{.hi = 0, .lo = static_cast<std::uint64_t>(s)};
    for (Block block = 0; block < blocks; ++block) {
      ++counts.at(static_cast<std::size_t>(policy->expert_of({.stream = stream, .block = block, .experts = experts})));
    }
  }
  return counts;
}

// Expected values from a few lines of Python with unbounded integers.
TEST(HomeMod, GivesTheValuesOfItsFormula) {
  std::vector<Block> const blocks{0, 1, 2, 1'000'000};
  EXPECT_EQ(experts_of("mod", {0, 0}, 7, blocks), (std::vector<KvExpert>{3, 6, 6, 5}));
  EXPECT_EQ(experts_of("mod", {1, 2}, 64, blocks), (std::vector<KvExpert>{49, 38, 26, 58}));
  EXPECT_EQ(experts_of("mod", {0xdeadbeef, ~0ull}, 64, blocks), (std::vector<KvExpert>{6, 14, 47, 6}));
}

TEST(HomeRoundRobin, GivesTheValuesOfItsFormulaAlsoWhereTheSumPasses64Bits) {
  std::vector<Block> const blocks{0, 1, 2, 1'000'000};
  EXPECT_EQ(experts_of("round_robin", {0, 0}, 7, blocks), (std::vector<KvExpert>{2, 3, 4, 3}));
  EXPECT_EQ(experts_of("round_robin", {1, 2}, 64, blocks), (std::vector<KvExpert>{5, 6, 7, 5}));
  StreamId const largest_sequence{.hi = 0xd34222cf003cfc04, .lo = 0};   // 2^64 - 1
  EXPECT_EQ(experts_of("round_robin", largest_sequence, 7, {0, 1, 2}), (std::vector<KvExpert>{1, 2, 3}));
}

TEST(HomeMod, SharesPassAChiSquareTest) {
  for (KvExpert const experts : {8, 60, 64}) {
    auto const counts = counts_of("mod", 256, 256, experts);
    double const expected = 256.0 * 256.0 / experts;
    double chi_square = 0;
    for (int const count : counts) chi_square += (count - expected) * (count - expected) / expected;
    double const degrees = experts - 1;   // mean; variance 2 * degrees; too even is no hash either
    EXPECT_LT(chi_square, degrees + 3.5 * std::sqrt(2 * degrees)) << experts;
    EXPECT_GT(chi_square, degrees - 3.5 * std::sqrt(2 * degrees)) << experts;
  }
}

TEST(HomeRoundRobin, CountsOfOneStreamDifferByAtMostOne) {
  for (KvExpert const experts : {1, 3, 64}) {
    for (Block const blocks : {1, 64, 65, 1000}) {
      auto const counts = counts_of("round_robin", 1, blocks, experts);
      auto const [least, most] = std::ranges::minmax_element(counts);
      EXPECT_LE(*most - *least, 1) << blocks << " blocks, " << experts << " experts";
    }
  }
}

class EachHome : public ::testing::TestWithParam<std::string_view> {};

TEST_P(EachHome, IsAPureFunctionWithValuesInRange) {
  auto const once = make_home_policy(GetParam()), again = make_home_policy(GetParam());
  for (KvExpert const experts : {1, 2, 7, 64, 5000}) {
    for (Block block = 999; block >= 0; --block) (void)again->expert_of({.stream = {3, 4}, .block = block, .experts = experts});
    for (Block block = 0; block < 1000; ++block) {
      SealedBlock const sealed{.stream = {1, 2}, .block = block, .experts = experts};
      KvExpert const expert = once->expert_of(sealed);
      ASSERT_GE(expert, 0);
      ASSERT_LT(expert, experts);
      ASSERT_EQ(again->expert_of(sealed), expert);
    }
  }
}

std::vector<std::string_view> names() {
  std::vector<std::string_view> all;
  for (auto const& [name, entry] : home_policies()) all.push_back(name);
  return all;
}
INSTANTIATE_TEST_SUITE_P(Homes, EachHome, ::testing::ValuesIn(names()), [](auto const& home) { return std::string{home.param}; });

TEST(Homes, AnUnknownNameIsAnErrorThatListsTheNames) {
  try {
    (void)make_home_policy("nearest");
    FAIL() << "nearest was accepted";
  } catch (InputError const& error) {
    EXPECT_STREQ(error.what(), "no home named 'nearest'; choose one of: mod, round_robin");
  }
}

}  // namespace
}  // namespace pikv::shards
