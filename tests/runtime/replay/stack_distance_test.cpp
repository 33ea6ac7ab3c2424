#include "runtime/replay/stack_distance.hpp"

#include <gmock/gmock.h>

#include <cmath>

#include "runtime/replay/lru.hpp"
#include "tests/runtime/replay/made_reads.hpp"

namespace pikv::runtime::replay {
namespace {

TEST(StackDistanceTest, TheCurveIsWhatSimulatedCachesHitAtEverySize) {
  for (Reads const& reads :
       {random_reads(3, 3000, 200), generated_reads({.requests = 150, .prefixes = 5, .rate = 2}), one_request({1, 1, 1}), one_request({1, 2, 3})}) {
    auto const curve = lru_curve(reads);
    ASSERT_EQ(curve.hits.size(), static_cast<std::size_t>(reads.distinct) + 1);
    EXPECT_EQ(curve.hits[0], 0);
    for (Page capacity = 1; capacity <= reads.distinct; ++capacity) {
      Lru lru{reads, capacity};
      Score const score = replay(lru, reads);
      ASSERT_EQ(curve.hits[static_cast<std::size_t>(capacity)], score.hits) << "capacity " << capacity;
      ASSERT_EQ(curve.prefix_hits[static_cast<std::size_t>(capacity)], score.prefix_hits) << "capacity " << capacity;
    }
  }
}

TEST(StackDistanceTest, HitsNeverFallAndAllButFirstReadsHitAtLast) {
  Reads const reads = mixed_reads();
  auto const curve = lru_curve(reads);
  EXPECT_TRUE(std::ranges::is_sorted(curve.hits));
  EXPECT_TRUE(std::ranges::is_sorted(curve.prefix_hits));
  EXPECT_EQ(curve.hits.back(), static_cast<std::int64_t>(reads.pages.size()) - reads.distinct);
}

TEST(StackDistanceTest, NoReadsHaveACurveOfNothing) {
  Reads const reads = reads_of({{}, {}});
  EXPECT_THAT(lru_curve(reads).hits, ::testing::ElementsAre(0));
}

/// Che's approximation: pages are independent, and a cache of `capacity` holds what was read in the last t, where as many were expected.
double che(int pages, double zipf, double capacity) {
  auto const sum = [&](auto const& term) {
    double total = 0;
    for (int i = 1; i <= pages; ++i) total += term(std::pow(i, -zipf));
    return total;
  };
  double low = 0, high = 1e6;
  while (high - low > 1e-9 * high) {
    double const t = (low + high) / 2;
    (sum([&](double rate) { return 1 - std::exp(-rate * t); }) < capacity ? low : high) = t;
  }
  return sum([&](double rate) { return rate * (1 - std::exp(-rate * low)); }) / sum([](double rate) { return rate; });
}

TEST(StackDistanceTest, IndependentReadsHitAsChePredicts) {
  Reads const reads = zipf_reads(400000, 500, .8);
  double const measured = static_cast<double>(lru_curve(reads).hits[50]) / static_cast<double>(reads.pages.size());
  EXPECT_NEAR(che(500, .8, 50), .351, .0005);
  EXPECT_NEAR(measured, .352, .0025);
}

}   // namespace
}   // namespace pikv::runtime::replay
