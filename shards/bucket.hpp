#pragma once

#include <cstdint>

#include "shards/kv_expert.hpp"
#include "shards/mix.hpp"
#include "shards/page.hpp"

namespace pikv::shards {

/// What a placement maps to a rank: hash of (KV expert, stream, block), no layer, so that the layers of a block stay together.
using Bucket = std::int32_t;
inline constexpr Bucket default_buckets = 4096;   // methods 1.2: V = 4096 for hash homes

Bucket bucket_of(KvExpert expert, StreamId const& stream, Block block, KvExpert experts, Bucket buckets);

}  // namespace pikv::shards
