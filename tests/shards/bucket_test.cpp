#include "shards/bucket.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "shards/homes.hpp"

namespace pikv::shards {
namespace {

// Expected values from a few lines of Python with unbounded integers.
TEST(Bucket, GivesTheValuesOfItsFormula) {
  EXPECT_EQ(bucket_of(0, {0, 0}, 0, 64, 4096), 23);
  EXPECT_EQ(bucket_of(5, {0, 0}, 1, 64, 4096), 382);
  EXPECT_EQ(bucket_of(63, {1, 2}, 1'000'000, 64, 4096), 4087);
  EXPECT_EQ(bucket_of(6, {0xdeadbeef, ~0ull}, 77, 7, 100), 94);
}

TEST(Bucket, IsInRangeForAnyNumberOfExperts) {
  for (Bucket const buckets : {1, 5, 64, 4096}) {
    for (KvExpert const experts : {1, 3, 64, 4096, 5000}) {
      for (KvExpert expert = 0; expert < experts; expert += 1 + experts / 50) {
        for (Block block = 0; block < 20; ++block) {
          Bucket const bucket = bucket_of(expert, {9, 9}, block, experts, buckets);
          ASSERT_GE(bucket, 0);
          ASSERT_LT(bucket, buckets);
        }
      }
    }
  }
}

TEST(Bucket, ExpertsShareNoBucketWhileThereAreEnough) {
  for (KvExpert const experts : {1, 7, 64, 100}) {
    std::vector<std::set<KvExpert>> users(100);
    for (KvExpert expert = 0; expert < experts; ++expert) {
      for (Block block = 0; block < 500; ++block) users.at(static_cast<std::size_t>(bucket_of(expert, {1, 1}, block, experts, 100))).insert(expert);
    }
    for (auto const& experts_here : users) EXPECT_LE(experts_here.size(), 1u) << experts;
  }
}

TEST(Bucket, PagesOfTheModHomeFillAllBucketsEvenly) {
  auto const home = make_home_policy("mod");
  constexpr Bucket buckets = 1024;
  std::vector<int> counts(buckets);
  constexpr int streams = 100, blocks = 1000;
  for (std::uint64_t s = 0; s < streams; ++s) {
    for (Block block = 0; block < blocks; ++block) {
      KvExpert const expert = home->expert_of({.stream = {0, s}, .block = block, .experts = 64});
      ++counts.at(static_cast<std::size_t>(bucket_of(expert, {0, s}, block, 64, buckets)));
    }
  }
  double const expected = double{streams} * blocks / buckets;
  double chi_square = 0;
  for (int const count : counts) chi_square += (count - expected) * (count - expected) / expected;
  EXPECT_NEAR(chi_square, buckets - 1, 3.5 * std::sqrt(2.0 * (buckets - 1)));
}

}  // namespace
}  // namespace pikv::shards
