#include "runtime/coordinator/eplb.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "shards/mix.hpp"

namespace pikv::runtime {
namespace {

using ::testing::ElementsAre;

std::vector<double> gpu_loads(std::vector<double> const& load, std::vector<int> const& held, int gpus) {
  std::vector<int> count(load.size(), 0);
  for (int const shard : held) ++count[static_cast<std::size_t>(shard)];
  std::vector<double> sum(static_cast<std::size_t>(gpus), 0.0);
  for (std::size_t slot = 0; slot < held.size(); ++slot) {
    auto const shard = static_cast<std::size_t>(held[slot]);
    sum[slot * static_cast<std::size_t>(gpus) / held.size()] += load[shard] / count[shard];
  }
  return sum;
}

// The example of github.com/deepseek-ai/EPLB, layer 0.
TEST(Eplb, GivesThePublishedPlanOfThePublishedLoads) {
  std::vector<double> const load{90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86};
  auto const held = eplb(load, {.slots = 16, .groups = 4, .nodes = 2, .gpus = 8});
  EXPECT_THAT(held, ElementsAre(5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1));
  EXPECT_THAT(gpu_loads(load, held, 8), ElementsAre(121.5, 86.5, 125, 113, 147.5, 131.5, 156, 152));
}

TEST(Eplb, EveryShardIsThereAndGpusHoldEquallyMany) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    int const gpus = 1 + static_cast<int>(shards::mix(seed) % 9), shard_count = 1 + static_cast<int>(shards::mix(seed + 1000) % 40);
    int const slots = (shard_count + static_cast<int>(seed % 7) + gpus - 1) / gpus * gpus;
    std::vector<double> load;
    for (int i = 0; i < shard_count; ++i) load.push_back(static_cast<double>(shards::mix(seed * 100 + static_cast<std::uint64_t>(i)) % 1000));
    auto const held = eplb(load, {.slots = slots, .gpus = gpus});
    ASSERT_EQ(held.size(), static_cast<std::size_t>(slots));
    for (int i = 0; i < shard_count; ++i) EXPECT_EQ(std::ranges::count(held, i) > 0, true);
  }
}

TEST(Eplb, AsManySlotsAsShardsIsAPermutation) {
  std::vector<double> const load{5, 1, 9, 7, 3, 3, 8, 2};
  auto held = eplb(load, {.slots = 8, .gpus = 4});
  std::ranges::sort(held);
  std::vector<int> all(8);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(held, all);
}

TEST(Eplb, OneHotShardGetsEverySpareSlot) {
  auto const held = eplb(std::vector<double>{1000, 1, 1, 1}, {.slots = 8, .gpus = 4});
  EXPECT_EQ(std::ranges::count(held, 0), 5);
}

TEST(Eplb, AShapeThatDoesNotDivideIsABugOfTheCaller) {
  std::vector<double> const load{1, 2, 3};
  EXPECT_THROW((void)eplb(load, {.slots = 5, .gpus = 2}), std::logic_error);
  EXPECT_THROW((void)eplb(load, {.slots = 2, .gpus = 2}), std::logic_error);
  EXPECT_THROW((void)eplb({}, {.slots = 2, .gpus = 2}), std::logic_error);
}

}  // namespace
}  // namespace pikv::runtime
