#include "shards/bucket.hpp"

#include <algorithm>

#include "shards/block_hash.hpp"

namespace pikv::shards {

Bucket bucket_of(KvExpert expert, StreamId const& stream, Block block, KvExpert experts, Bucket buckets) {
  auto const per_expert = static_cast<std::uint64_t>(std::max(buckets / experts, 1));
  std::uint64_t const within = (block_hash(stream, block) >> 32) % per_expert;
  return static_cast<Bucket>((static_cast<std::uint64_t>(expert) * per_expert + within) % static_cast<std::uint64_t>(buckets));
}

}  // namespace pikv::shards
