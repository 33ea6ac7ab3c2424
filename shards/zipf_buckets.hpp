#pragma once

#include <cstdint>
#include <vector>

#include "shards/bucket.hpp"

namespace pikv::shards {

/// A skewed workload for tests and demonstrations: blocks choose their buckets by Zipf's law (the n-th most frequent with probability
/// proportional to n^-exponent), where real hashes choose them evenly. Which buckets are the frequent ones depends on the seed.
class ZipfBuckets {
 public:
  ZipfBuckets(Bucket buckets, double exponent, std::uint64_t seed);
  Bucket bucket_of(StreamId const& stream, Block block) const;

 private:
  std::vector<double> cumulative_;   // of the n most frequent
  std::vector<Bucket> bucket_;       // the n-th most frequent
};

}  // namespace pikv::shards
