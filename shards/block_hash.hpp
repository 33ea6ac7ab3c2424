#pragma once

#include <cstdint>

#include "shards/mix.hpp"
#include "shards/page.hpp"

namespace pikv::shards {

/// The sequence id of methods 1.1: the 128 bits of a stream folded to 64. The outer mix keeps streams numbered 0, 1, 2 ... apart from
/// blocks numbered alike: without it block_hash of (stream a, block b) and (b, a) would be the same.
constexpr std::uint64_t sequence_of(StreamId const& stream) { return mix(stream.hi ^ mix(stream.lo)); }

/// x of methods 1.1. Its value modulo E chooses the KV expert, its high half the place among that expert's buckets.
constexpr std::uint64_t block_hash(StreamId const& stream, Block block) {
  return mix(sequence_of(stream) ^ mix(static_cast<std::uint64_t>(block)));
}

}  // namespace pikv::shards
