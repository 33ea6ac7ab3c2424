#include "shards/zipf_buckets.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "shards/load_report.hpp"
#include "shards/mix.hpp"

namespace pikv::shards {
namespace {

std::vector<int> counts_of(ZipfBuckets const& zipf, Bucket buckets, int streams, Block blocks) {
  std::vector<int> counts(static_cast<std::size_t>(buckets), 0);
  for (int s = 0; s < streams; ++s)
    for (Block block = 0; block < blocks; ++block) ++counts[static_cast<std::size_t>(zipf.bucket_of({mix(static_cast<std::uint64_t>(s)), 7}, block))];
  return counts;
}

TEST(ZipfBuckets, FollowZipfsLaw) {
  for (double const exponent : {0.5, 1.0, 1.5}) {
    auto counts = counts_of(ZipfBuckets{1000, exponent, 1}, 1000, 100, 2000);
    std::ranges::sort(counts, std::greater{});
    double sum = 0;
    for (int n = 1; n <= 1000; ++n) sum += std::pow(n, -exponent);
    for (int const n : {1, 2, 5, 10}) {
      double const expected = 200000 * std::pow(n, -exponent) / sum;
      EXPECT_NEAR(counts[static_cast<std::size_t>(n - 1)], expected, 6 * std::sqrt(expected)) << "the " << n << "th at exponent " << exponent;
    }
  }
}

TEST(ZipfBuckets, TheSeedChoosesWhichAreHot) {
  auto const hottest = [](std::uint64_t seed) {
    auto const counts = counts_of(ZipfBuckets{1000, 1, seed}, 1000, 10, 1000);
    return std::ranges::max_element(counts) - counts.begin();
  };
  EXPECT_EQ(hottest(1), hottest(1));
  EXPECT_NE(hottest(1), hottest(2));
}

TEST(LoadReport, TellsTheHeaviestBucketsFirstAndAllInSum) {
  BucketLoads loads{100};
  for (Bucket bucket = 0; bucket < 50; ++bucket)
    for (Bucket page = 0; page <= bucket; ++page) loads.add(bucket, 2);
  loads.add(60, 1000);   // one page, much read
  LoadReport const report = loads.report();
  EXPECT_EQ(report.pages, 50u * 51 / 2 + 1);
  EXPECT_EQ(report.reads, 2u * 50 * 51 / 2 + 1000);
  ASSERT_EQ(report.buckets, most_bucket_loads);
  EXPECT_EQ(report.heaviest[0], (BucketLoad{60, 1, 1000}));
  EXPECT_EQ(report.heaviest[1], (BucketLoad{49, 50, 100}));
}

}  // namespace
}  // namespace pikv::shards
