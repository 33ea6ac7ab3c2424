#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "kernels/pool.hpp"
#include "shards/block.hpp"

namespace pikv::shards {

/// 128 bits that name the KV of one sequence.
struct StreamId {
  std::uint64_t hi = 0, lo = 0;
  friend bool operator==(StreamId const&, StreamId const&) = default;
};

/// One page: one block in one layer, KV heads head_begin .. head_end-1, K and V.
struct PageKey {
  StreamId stream{};
  std::uint16_t layer = 0;
  std::uint16_t head_begin = 0, head_end = 0;
  std::uint16_t reserved = 0;
  Block block = 0;
  std::uint32_t reserved_too = 0;   // both stay 0: written out so that a record has no padding bytes, whose values nobody decides
  friend bool operator==(PageKey const&, PageKey const&) = default;
};

/// No query asks for it: what a push carries whose page rotted before.
inline constexpr PageKey key_of_nothing{.layer = 0xFFFF};

/// 128 bits over model, layer map, dtype, rope and page shape: pages of another are never served.
struct Fingerprint {
  std::uint64_t hi = 0, lo = 0;
  friend bool operator==(Fingerprint const&, Fingerprint const&) = default;
};

/// A slot of an arena: which pool (size class) and which place in it.
struct Slot {
  std::int32_t index = -1;
  std::int32_t size_class = 0;
  bool valid() const { return index >= 0; }
  friend bool operator==(Slot const&, Slot const&) = default;
};

inline constexpr std::size_t slot_alignment = 4096;
constexpr std::size_t slot_bytes_for(std::size_t payload_bytes) { return (payload_bytes + slot_alignment - 1) / slot_alignment * slot_alignment; }

}  // namespace pikv::shards

template <>
struct std::hash<pikv::shards::StreamId> {
  std::size_t operator()(pikv::shards::StreamId const& id) const noexcept { return id.hi ^ (id.lo * 0x9E3779B97F4A7C15u); }
};
