#include "runtime/coordinator/coordinator.hpp"

#include <gtest/gtest.h>

namespace pikv::runtime {
namespace {

using Weights = std::vector<std::uint64_t>;

Coordinator coordinator(std::string const& rank_plan) {
  RankPlan ranks{3, 3};
  if (!rank_plan.empty()) ranks.read(rank_plan, "the plan");
  return {{.rebalance_steps = 8, .ranks = ranks}, {.weights = {1, 1, 1}}, {1, 1, 1}, 4096};
}

/// All load on one bucket of rank 0.
std::vector<shards::LoadReport> uneven() {
  shards::BucketLoads hot{shards::default_buckets}, nothing{shards::default_buckets};
  for (int page = 0; page < 90; ++page) hot.add(5, 100);
  return {hot.report(), nothing.report(), nothing.report()};
}

TEST(Coordinator, ARankThatIsToLeaveStaysUntilTheOthersHaveRoom) {
  auto decides = coordinator(R"([{"step": 10, "action": "drain", "rank": 2}])");
  EXPECT_FALSE(decides.decide(9, {.room = 50}, {}));
  EXPECT_FALSE(decides.decide(10, {.room = -1}, {}));
  EXPECT_FALSE(decides.decide(11, {.room = -1}, {}));
  auto const published = decides.decide(12, {.room = 0}, {});
  ASSERT_TRUE(published);
  EXPECT_EQ(published->first_step, 14);
  EXPECT_EQ(published->placement.weights, (Weights{1, 1, 0}));
  EXPECT_EQ(published->placement.epoch, 2u);
  EXPECT_FALSE(decides.decide(13, {.room = 0}, {}));
  EXPECT_FALSE(decides.decide(14, {.room = -5}, {})) << "one that has left does not come back";
}

TEST(Coordinator, ARankThatJoinsDoesNotWaitForOneThatLeaves) {
  auto decides = coordinator(R"([{"step": 5, "action": "drain", "rank": 0}, {"step": 10, "action": "drain", "rank": 1}, {"step": 10, "action": "join", "rank": 0}])");
  ASSERT_TRUE(decides.decide(5, {.room = 0}, {}));
  auto const joined = decides.decide(10, {.room = -1}, {});
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->placement.weights, (Weights{1, 1, 1}));
  EXPECT_EQ(decides.decide(12, {.room = 3}, {})->placement.weights, (Weights{1, 0, 1}));
}

TEST(Coordinator, LooksAtLoadsOnlyWhenNothingIsOnItsWay) {
  auto decides = coordinator("");
  int plans = 0;
  auto const count = [&](PlanRows const&) { ++plans; };
  EXPECT_FALSE(decides.decide(8, {.settled = false, .loads = uneven()}, count));
  EXPECT_EQ(plans, 0);
  auto const published = decides.decide(16, {.loads = uneven()}, count);
  ASSERT_TRUE(published);
  ASSERT_EQ(published->placement.places.size(), 1u);
  EXPECT_EQ(published->placement.places[0].parts, 3);
  EXPECT_FALSE(decides.decide(17, {.loads = uneven()}, count)) << "the last one has not started";
  EXPECT_EQ(plans, 1);
}

TEST(Coordinator, TheSameStatesGiveTheSamePlacements) {
  for (int again = 0; again < 2; ++again) {
    auto a = coordinator(""), b = coordinator("");
    EXPECT_EQ(a.decide(8, {.loads = uneven()}, {})->placement, b.decide(8, {.loads = uneven()}, {})->placement);
  }
}

}  // namespace
}  // namespace pikv::runtime
