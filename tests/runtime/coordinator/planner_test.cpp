#include "runtime/coordinator/planner.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace pikv::runtime {
namespace {

constexpr std::uint64_t window = 64;   // reads of each page

/// Loads of ranks whose buckets hold so many pages: [rank][i] of bucket 100 rank + i.
PlanInput input_with(std::vector<std::vector<std::uint32_t>> const& pages) {
  PlanInput input;
  input.step = 64;
  input.page_bytes = 4096;
  input.weights.assign(pages.size(), 1);
  input.current.weights = input.weights;
  for (std::size_t rank = 0; rank < pages.size(); ++rank) {
    shards::BucketLoads loads{shards::default_buckets};
    for (std::size_t i = 0; i < pages[rank].size(); ++i)
      for (std::uint32_t p = 0; p < pages[rank][i]; ++p) loads.add(static_cast<shards::Bucket>(100 * rank + i), window);
    input.loads.push_back(loads.report());
  }
  return input;
}

std::vector<std::uint32_t> cold(std::size_t pages) { return std::vector<std::uint32_t>(pages, 1); }

TEST(Planner, EvenLoadsAreLeftAlone) {
  Planned const planned = plan(input_with({cold(90), cold(95), cold(85)}));
  EXPECT_FALSE(planned.adopted);
  EXPECT_LT(planned.imbalance, most_imbalance);
}

TEST(Planner, HotBucketsOfOneRankAreSpread) {
  auto input = input_with({{60, 60, 60, 20}, {20, 20}, {20, 20}, {20, 20}});
  Planned const planned = plan(input);
  ASSERT_TRUE(planned.adopted);
  EXPECT_GT(planned.imbalance, 2);
  EXPECT_LT(planned.predicted, 1.3);
  EXPECT_EQ(planned.next.epoch, input.current.epoch + 1);
  EXPECT_EQ(planned.next.weights, input.weights);
  (void)shards::Placement{planned.next};   // which a placement accepts
}

TEST(Planner, ABucketHotterThanARanksShareIsSplit) {
  Planned const planned = plan(input_with({{400}, {50}, {50}, {50}}));
  ASSERT_TRUE(planned.adopted);
  auto const hottest = std::ranges::find(planned.next.places, 0, &shards::BucketPlace::bucket);
  ASSERT_NE(hottest, planned.next.places.end());
  EXPECT_GE(hottest->parts, 3);
  EXPECT_LT(planned.predicted, 1.2);
}

TEST(Planner, MovesMustPayBeforeTheNextPlan) {
  auto input = input_with({{60, 60, 60, 20}, {20, 20}, {20, 20}, {20, 20}});
  for (auto& report : input.loads) {   // read once instead of 64 times
    report.reads /= window;
    for (auto& bucket : report.heaviest) bucket.reads /= window;
  }
  Planned const planned = plan(input);
  EXPECT_FALSE(planned.adopted);
  EXPECT_GT(planned.imbalance, 2);
  EXPECT_LT(planned.saved_bytes, planned.cost_bytes);
}

TEST(Planner, LargerRanksBearMore) {
  auto input = input_with({{90, 90, 90, 90, 90}, {}, {}});
  input.weights = input.current.weights = {1, 1, 2};
  Planned const planned = plan(input);
  ASSERT_TRUE(planned.adopted);
  std::vector<double> share(3, 0.0);
  for (auto const& place : planned.next.places)
    for (std::int32_t part = 0; part < place.parts; ++part) share[static_cast<std::size_t>(place.ranks[static_cast<std::size_t>(part)])] += 0.2 / place.parts;
  EXPECT_NEAR(share[2], 0.5, 0.11);
}

TEST(Planner, ARankThatLeavesKeepsNoBucketAndOneThatJoinsChangesNone) {
  auto input = input_with({{60}, {60}, {60}, {60}});
  input.current.places = {{.bucket = 7, .parts = 2, .ranks = {1, 3}}, {.bucket = 9, .parts = 1, .ranks = {3}}};
  input.weights = {1, 1, 1, 0};
  Planned const planned = plan(input);
  ASSERT_TRUE(planned.adopted);
  EXPECT_EQ(planned.reason, PlanReason::ranks);
  ASSERT_EQ(planned.next.places.size(), 1u);
  EXPECT_EQ(planned.next.places[0], (shards::BucketPlace{.bucket = 7, .parts = 1, .ranks = {1}}));
  EXPECT_EQ(planned.next.weights, input.weights);
}

TEST(Planner, ItsRowsMakeTheSamePlanAgain) {
  for (auto const& pages : {std::vector<std::vector<std::uint32_t>>{{400}, {50}, {50}, {50}}, {{60, 60, 60, 20}, {20}, {1, 1, 1}}, {{1}, {2}}, {{}, {}}}) {
    auto input = input_with(pages);
    input.current.places = {{.bucket = 7, .parts = 2, .ranks = {1, 0}}};
    Planned const planned = plan(input);
    PlanRows const rows = rows_of(input, planned, 66);
    PlanInput const again = input_of(rows, input.current.places);
    EXPECT_EQ(again.loads, input.loads);
    Planned const replanned = plan(again);
    EXPECT_EQ(replanned.next, planned.next);
    EXPECT_EQ(replanned.imbalance, planned.imbalance);
    EXPECT_EQ(replanned.cost_bytes, planned.cost_bytes);
    EXPECT_EQ(places_of(rows.places), planned.next.places);
  }
}

}  // namespace
}  // namespace pikv::runtime
