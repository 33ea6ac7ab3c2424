#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "router_cases.hpp"
#include "tests/shards/allocations.hpp"

namespace pikv::runtime {
namespace {

class EachRouter : public ::testing::TestWithParam<std::string_view> {
 protected:
  RouterEntry const& entry = routers().at(GetParam());
  std::mt19937 bits{11};
};

TEST_P(EachRouter, ChoosesKDistinctExperts) {
  for (KvExpert const experts : {1, 2, 7, 64}) {
    auto const router = make(GetParam(), experts);
    for (std::int32_t k = 0; k <= experts; k += 1 + experts / 9) {
      for (std::uint64_t query = 0; query < 20; ++query) {
        auto z = random_affinity(static_cast<std::size_t>(experts), bits);
        for (std::size_t e = 0; e < z.size(); e += 3) z[e] = nothing;
        Ids const chosen = ids_of(*router, z, k, random_stats(z.size(), bits), query);
        ASSERT_EQ(std::ssize(chosen), k);
        ASSERT_EQ(std::set<KvExpert>(chosen.begin(), chosen.end()).size(), chosen.size());
        for (KvExpert const e : chosen) ASSERT_TRUE(e >= 0 && e < experts);
      }
    }
  }
}

TEST_P(EachRouter, ChoosesAllOfAllExperts) {
  auto const router = make(GetParam(), 9);
  Ids chosen = ids_of(*router, random_affinity(9, bits), 9);
  std::ranges::sort(chosen);
  EXPECT_EQ(chosen, (Ids{0, 1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST_P(EachRouter, SameEventsMakeSameChoices) {
  auto const once = make(GetParam(), 16), again = make(GetParam(), 16);
  for (std::uint64_t step = 0; step < 100; ++step) {
    std::vector<std::uint32_t> reads(16);
    for (std::uint64_t query = 0; query < 8; ++query) {
      auto const z = random_affinity(16, bits);
      auto const stats = random_stats(16, bits);
      Ids const chosen = ids_of(*once, z, 4, stats, query);
      ASSERT_EQ(chosen, ids_of(*again, z, 4, stats, query));
      for (KvExpert const e : chosen) ++reads[static_cast<std::size_t>(e)];
    }
    StepOutcome const outcome{.cost = 1.5, .certified_recall = 0.9};
    once->end_step(reads, outcome);
    again->end_step(reads, outcome);
  }
}

TEST_P(EachRouter, AConstantAddedToAllAffinitiesChangesNothing) {
  for (float const constant : {-50.0f, 3.0f, 80.0f}) {
    auto const plain = make(GetParam(), 16), shifted = make(GetParam(), 16);
    for (std::uint64_t query = 0; query < 50; ++query) {
      auto z = random_affinity(16, bits), moved = z;
      auto const stats = random_stats(16, bits);
      for (std::size_t e = 0; e < z.size(); ++e) {
        z[e] = std::round(z[e] * 256) / 256;   // so that the sum is exact
        moved[e] = z[e] + constant;
      }
      EXPECT_EQ(ids_of(*plain, z, 5, stats, query), ids_of(*shifted, moved, 5, stats, query));
    }
  }
}

TEST_P(EachRouter, AllocatesNothingOnceWarm) {
  auto const router = make(GetParam(), 64);
  auto const z = random_affinity(64, bits);
  auto const stats = random_stats(64, bits);
  std::vector<std::uint32_t> const reads(64, 1);
  Ids chosen;
  std::size_t warm = 0;
  for (std::uint64_t step = 0; step < 400; ++step) {   // long enough for one that explores
    if (step == 200) warm = test::allocations();
    router->route({step, z}, stats, 8, chosen);
    router->end_step(reads, {});
  }
  EXPECT_EQ(test::allocations(), warm);
}

TEST_P(EachRouter, NothingKnownAtAllIsNoError) {
  auto const router = make(GetParam(), 5);
  EXPECT_EQ(ids_of(*router, std::vector<float>(5, nothing), 3).size(), 3u);
}

TEST_P(EachRouter, AnAffinityThatIsNoNumberIsABug) {
  if (!entry.affinities) GTEST_SKIP() << "does not look";
  auto const router = make(GetParam(), 4);
  EXPECT_THROW(ids_of(*router, {0, 1, std::nanf(""), 2}, 2), std::logic_error);
}

TEST_P(EachRouter, MoreExpertsThanThereAreIsABug) {
  auto const router = make(GetParam(), 4);
  EXPECT_THROW(ids_of(*router, {0, 1, 2, 3}, 5), std::logic_error);
}

TEST_P(EachRouter, StatisticsOfAnotherNumberOfExpertsAreABug) {
  if (!entry.stats) GTEST_SKIP() << "does not look at statistics";
  auto const router = make(GetParam(), 4);
  EXPECT_THROW(ids_of(*router, {0, 1, 2, 3}, 2, no_penalties(3)), std::logic_error);
}

TEST_P(EachRouter, WithoutPenaltiesThoseThatLookPreferTheHighestAffinities) {
  if (!entry.affinities || GetParam() == "hierarchical" || GetParam() == "rl") GTEST_SKIP() << "not by affinity alone";
  auto const router = make(GetParam(), 12);
  for (std::uint64_t query = 0; query < 20; ++query) {
    auto const z = random_affinity(12, bits);
    EXPECT_EQ(ids_of(*router, z, 4, no_penalties(12), query), highest(z, 4));
  }
}

std::vector<std::string_view> names() {
  std::vector<std::string_view> all;
  for (auto const& [name, entry] : routers()) all.push_back(name);
  return all;
}
INSTANTIATE_TEST_SUITE_P(Routers, EachRouter, ::testing::ValuesIn(names()), [](auto const& name) { return std::string{name.param}; });

TEST(Routers, AreThoseOfTheInterface) {
  EXPECT_EQ(names(), (std::vector<std::string_view>{"cache_aware", "entropy", "hash", "hierarchical", "rl", "round_robin", "topk", "topk_balanced"}));
}

}  // namespace
}  // namespace pikv::runtime
