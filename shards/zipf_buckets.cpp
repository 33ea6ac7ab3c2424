#include "shards/zipf_buckets.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "shards/block_hash.hpp"

namespace pikv::shards {

ZipfBuckets::ZipfBuckets(Bucket buckets, double exponent, std::uint64_t seed) : bucket_(static_cast<std::size_t>(buckets)) {
  double sum = 0;
  for (Bucket n = 1; n <= buckets; ++n) cumulative_.push_back(sum += std::pow(n, -exponent));
  std::iota(bucket_.begin(), bucket_.end(), 0);
  std::ranges::sort(bucket_, {}, [&](Bucket bucket) { return mix(mix(seed) ^ static_cast<std::uint64_t>(bucket)); });
}

Bucket ZipfBuckets::bucket_of(StreamId const& stream, Block block) const {
  double const u = static_cast<double>(mix(block_hash(stream, block) ^ 0x5EEDu) >> 11) * 0x1p-53;
  auto const found = std::ranges::upper_bound(cumulative_, u * cumulative_.back());
  return bucket_[static_cast<std::size_t>(std::min(found, cumulative_.end() - 1) - cumulative_.begin())];
}

}  // namespace pikv::shards
