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

/// A slot of an arena. With C size classes, place n of class c is slot n * C + c, on every rank alike however many slots each has.
struct Slot {
  std::int32_t index = -1;
  bool valid() const { return index >= 0; }
  friend bool operator==(Slot const&, Slot const&) = default;
};

/// Slots of uncompressed pages are aligned to the system's pages; those of coded ones to cache lines, or rounding would eat what the codec saves.
inline constexpr std::size_t slot_alignment = 4096, coded_slot_alignment = 64;
constexpr std::size_t slot_bytes_for(std::size_t payload_bytes, std::size_t alignment = slot_alignment) {
  return (payload_bytes + alignment - 1) / alignment * alignment;
}

}  // namespace pikv::shards

template <>
struct std::hash<pikv::shards::StreamId> {
  std::size_t operator()(pikv::shards::StreamId const& id) const noexcept { return id.hi ^ (id.lo * 0x9E3779B97F4A7C15u); }
};
