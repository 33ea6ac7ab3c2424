#include "shards/placement.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "comm/error.hpp"
#include "shards/mix.hpp"
#include "tests/shards/allocations.hpp"

namespace pikv::shards {
namespace {

using Weights = std::vector<std::uint64_t>;

std::vector<comm::Rank> owners(Placement const& placement) {
  std::vector<comm::Rank> table;
  for (Bucket bucket = 0; bucket < placement.buckets(); ++bucket) table.push_back(placement.owner(bucket));
  return table;
}

std::vector<int> loads(Placement const& placement, std::size_t ranks) {
  std::vector<int> counts(ranks);
  for (comm::Rank const rank : owners(placement)) ++counts.at(static_cast<std::size_t>(rank));
  return counts;
}

Placement equal(std::size_t ranks, bool bounded, Bucket buckets = default_buckets) {
  return Placement{{.buckets = buckets, .bounded = bounded, .weights = Weights(ranks, 1)}};
}

double moved(Placement const& before, Placement const& after) {
  auto const a = owners(before), b = owners(after);
  int count = 0;
  for (std::size_t i = 0; i < a.size(); ++i) count += a[i] != b[i];
  return static_cast<double>(count) / static_cast<double>(a.size());
}

/// Ranks of weight > 0 by falling score, in another form: -w / ln u falls as ln(-ln u) - ln w rises.
std::vector<comm::Rank> ranked(Bucket bucket, Weights const& weights) {
  std::vector<std::pair<long double, comm::Rank>> keys;
  for (std::size_t rank = 0; rank < weights.size(); ++rank) {
    if (weights[rank] == 0) continue;
    std::uint64_t const hash = mix(mix(static_cast<std::uint64_t>(bucket)) ^ mix(rank + 0x5bd1e995u));
    long double const u = (static_cast<long double>(hash >> 11) + 0.5L) / 9007199254740992.0L;
    keys.emplace_back(std::log(-std::log(u)) - std::log(static_cast<long double>(weights[rank])), static_cast<comm::Rank>(rank));
  }
  std::ranges::sort(keys);
  std::vector<comm::Rank> order;
  for (auto const& [key, rank] : keys) order.push_back(rank);
  return order;
}

TEST(Placement, UnboundedGivesTheWorkedExample) {
  EXPECT_THAT(owners(equal(4, false, 8)), ::testing::ElementsAre(2, 2, 0, 2, 2, 3, 3, 0));
  EXPECT_THAT(owners(equal(5, false, 8)), ::testing::ElementsAre(2, 4, 4, 2, 2, 4, 3, 0));
}

TEST(Placement, OneRankOwnsAll) { EXPECT_THAT(owners(equal(1, true)), ::testing::Each(0)); }

TEST(Placement, WhenARankJoinsUnboundedBucketsMoveOnlyToIt) {
  for (std::size_t const ranks : {1, 2, 3, 4, 7, 8, 16}) {
    auto const before = owners(equal(ranks, false)), after = owners(equal(ranks + 1, false));
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (after[i] == before[i]) continue;
      ASSERT_EQ(after[i], static_cast<comm::Rank>(ranks));
    }
    double const share = 1.0 / static_cast<double>(ranks + 1);
    EXPECT_NEAR(moved(equal(ranks, false), equal(ranks + 1, false)), share, 3 * std::sqrt(share * (1 - share) / default_buckets)) << ranks;
  }
}

TEST(Placement, BoundedIsEvenAndMovesLittleWhenRanksComeOrGo) {
  for (auto const& [from, to] : {std::pair<std::size_t, std::size_t>{4, 5}, {5, 4}, {8, 9}, {8, 7}}) {
    EXPECT_LE(moved(equal(from, true), equal(to, true)), 1.0 / static_cast<double>(std::max(from, to)) + 0.02) << from << " -> " << to;
    auto const counts = loads(equal(to, true), to);
    EXPECT_LE(std::ranges::max(counts) * static_cast<double>(to) / default_buckets, 1.06) << to;
  }
}

TEST(Placement, NoRankExceedsItsCap) {
  struct Case {
    Bucket buckets;
    double epsilon;
    Weights weights;
    std::vector<int> caps;   // ceil((1 + epsilon) V w / sum w), by hand
  };
  for (Case const& c : {Case{4000, 0.05, {1, 1, 1, 1}, {1050, 1050, 1050, 1050}}, Case{100, 0, {1, 1, 2}, {25, 25, 50}},
                        Case{7, 0, {1, 1, 1}, {3, 3, 3}}, Case{10, 0.1, {0, 5}, {0, 10}},
                        Case{1000, 0.05, {1ull << 62, 1ull << 62, 3ull << 62}, {210, 210, 630}}}) {
    Placement const placement{{.buckets = c.buckets, .epsilon = c.epsilon, .weights = c.weights}};
    auto const counts = loads(placement, c.weights.size());
    for (std::size_t rank = 0; rank < counts.size(); ++rank) EXPECT_LE(counts[rank], c.caps[rank]) << c.buckets << " rank " << rank;
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0), c.buckets);
  }
}

TEST(Placement, AnEqualCapWithoutRoomToSpareGivesEqualLoads) {
  Placement const placement{{.buckets = 4096, .epsilon = 0, .weights = Weights(4, 123)}};
  EXPECT_THAT(loads(placement, 4), ::testing::Each(1024));
}

TEST(Placement, BoundedEqualsAPlainRestatementOfTheRule) {
  for (Weights const& weights : {Weights{1, 1, 1, 1}, Weights{1, 1, 2}, Weights{5, 0, 3, 9, 1}}) {
    std::uint64_t const total = std::accumulate(weights.begin(), weights.end(), std::uint64_t{0});
    std::vector<std::pair<std::uint64_t, Bucket>> order;
    for (Bucket bucket = 0; bucket < 512; ++bucket) order.emplace_back(mix(static_cast<std::uint64_t>(bucket) ^ 0xABCDEF), bucket);
    std::ranges::sort(order);
    std::vector<std::uint64_t> load(weights.size());
    std::vector<comm::Rank> expected(512);
    for (auto const& [key, bucket] : order) {
      for (comm::Rank const rank : ranked(bucket, weights)) {
        auto const r = static_cast<std::size_t>(rank);
        if (100 * load[r] >= 105 * 512 * weights[r] / total + (105 * 512 * weights[r] % total != 0)) continue;
        ++load[r];
        expected[static_cast<std::size_t>(bucket)] = rank;
        break;
      }
    }
    EXPECT_EQ(owners(Placement{{.buckets = 512, .weights = weights}}), expected);
  }
}

TEST(Placement, WeightsGiveShares) {
  for (bool const bounded : {false, true}) {
    Placement const placement{{.bounded = bounded, .weights = {10, 10, 20}}};
    auto const counts = loads(placement, 3);
    EXPECT_NEAR(counts[0] / 4096.0, 0.25, 0.02);
    EXPECT_NEAR(counts[1] / 4096.0, 0.25, 0.02);
    EXPECT_NEAR(counts[2] / 4096.0, 0.50, 0.02);
  }
}

TEST(Placement, OnlyTheRatioOfWeightsMatters) {
  Placement const bytes{{.weights = {3ull << 30, 1ull << 30, 2ull << 30}}};
  EXPECT_EQ(owners(bytes), owners(Placement{{.weights = {3, 1, 2}}}));
}

TEST(Placement, ARankOfWeightZeroTakesNothingAndIsNoChoice) {
  Placement const placement{{.buckets = 256, .weights = {1, 0, 1, 0}}};
  EXPECT_EQ(placement.choices(), 2);
  for (Bucket bucket = 0; bucket < 256; ++bucket) {
    for (int n = 0; n < 2; ++n) EXPECT_THAT(placement.choice(bucket, n), ::testing::AnyOf(0, 2));
  }
}

TEST(Placement, ChoicesAreTheOwnerThenTheOthersByFallingScore) {
  Weights const weights{1, 2, 0, 1, 4, 1, 1};
  Placement const placement{{.buckets = 512, .epsilon = 0, .weights = weights}};
  int owners_below_first = 0;
  for (Bucket bucket = 0; bucket < 512; ++bucket) {
    auto expected = ranked(bucket, weights);
    owners_below_first += expected.front() != placement.owner(bucket);
    std::erase(expected, placement.owner(bucket));
    expected.insert(expected.begin(), placement.owner(bucket));
    std::vector<comm::Rank> choices;
    for (int n = 0; n < placement.choices(); ++n) choices.push_back(placement.choice(bucket, n));
    ASSERT_EQ(choices, expected) << bucket;
  }
  EXPECT_GT(owners_below_first, 0) << "the caps never bit, so this test shows less than it should";
}

TEST(Placement, AChoiceBeyondTheLastIsRefused) {
  EXPECT_THROW((void)equal(3, true).choice(0, 3), std::logic_error);
  EXPECT_THROW((void)equal(3, true).choice(0, -1), std::logic_error);
}

TEST(Placement, ChoosingAllocatesNothing) {
  Placement const placement = equal(64, true);
  std::size_t const before = test::allocations();
  for (int n = 0; n < 64; ++n) (void)placement.choice(17, n);
  EXPECT_EQ(test::allocations(), before);
}

TEST(Placement, IsAValueThatEveryRankComputesAlike) {
  PlacementOptions const options{.weights = {7, 5, 9, 1}, .epoch = 3};
  EXPECT_EQ(owners(Placement{options}), owners(Placement{options}));
  EXPECT_EQ(Placement{options}.epoch(), 3u);
}

TEST(Placement, WithoutMemoryAnywhereItIsAnError) {
  EXPECT_THROW((Placement{{.weights = {0, 0}}}), InputError);
  EXPECT_THROW((Placement{{.weights = {}}}), InputError);
}

TEST(Placement, ABucketWithAPlaceOfItsOwnIsSplitEvenlyOverItsRanks) {
  PlacementOptions options{.weights = {1, 1, 1, 1}};
  options.places = {{.bucket = 17, .parts = 3, .ranks = {2, 0, 2}}};
  Placement const placement{options}, hashed{{.weights = {1, 1, 1, 1}}};
  std::vector<int> count(4, 0);
  for (std::uint64_t block = 0; block < 3000; ++block) {
    comm::Rank const owner = placement.owner(17, block);
    ++count[static_cast<std::size_t>(owner)];
    EXPECT_EQ(placement.choice(17, 0, block), owner);
    std::vector<comm::Rank> choices;
    for (int n = 0; n < placement.choices(); ++n) choices.push_back(placement.choice(17, n, block));
    EXPECT_THAT(choices, ::testing::UnorderedElementsAre(0, 1, 2, 3));
  }
  EXPECT_NEAR(count[0], 1000, 100);
  EXPECT_NEAR(count[2], 2000, 100);
  EXPECT_EQ(count[1] + count[3], 0);
  for (Bucket bucket = 18; bucket < 200; ++bucket) EXPECT_EQ(placement.owner(bucket, 5), hashed.owner(bucket));
}

TEST(Placement, ABucketOnARankThatStoresNothingIsABugOfTheCaller) {
  PlacementOptions options{.weights = {1, 0}};
  options.places = {{.bucket = 17, .parts = 1, .ranks = {1}}};
  EXPECT_THROW(Placement{options}, std::logic_error);
}

}  // namespace
}  // namespace pikv::shards
