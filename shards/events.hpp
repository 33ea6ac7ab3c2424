#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "comm/rank.hpp"
#include "shards/epoch.hpp"
#include "shards/page.hpp"

namespace pikv::shards {

/// What can happen to a page. docs/trace.md (/events) says who writes each down, and what peer, slot and bytes are then.
enum class PageEvent : std::int32_t {
  seal, place, push, index, acknowledge, fetch, hit, miss, stale, evict, migrate, corrupt, rewind, release, restore, demote, promote, recode
};
inline constexpr std::size_t page_event_kinds = 18;
char const* to_string(PageEvent event);

inline constexpr std::int32_t every_layer = -1;   // of an event that is of `block` and what follows, in all layers

/// A row of the trace's /events.
struct PageEventRow {
  Step step = 0;
  std::int32_t rank = 0, event = 0;   // a PageEvent
  std::uint64_t stream_hi = 0, stream_lo = 0;
  std::int32_t layer = 0, block = 0;
  std::int32_t peer = -1, slot = -1;   // -1: none
  std::uint64_t generation = 0, bytes = 0;
};

/// What happened to the pages of this rank since the rows were last taken away: so many rows and no more, the others are counted.
/// Off until start(). Nothing here allocates but start().
class PageEvents {
 public:
  /// A page's layer is written down as its table: layer * tables_per_layer + its head range of `kv_heads`.
  void start(comm::Rank rank, std::size_t most_rows, std::int32_t tables_per_layer = 1, std::int32_t kv_heads = 1) {
    rank_ = rank;
    tables_per_layer_ = tables_per_layer;
    kv_heads_ = kv_heads;
    most_rows_ = most_rows;
    rows_.reserve(most_rows);
  }
  bool on() const { return most_rows_ > 0; }
  /// What is recorded from now on happens in this step.
  void at(Step step) { step_ = step; }

  void record(PageEvent event, StreamId const& stream, std::int32_t layer, Block block, comm::Rank peer = -1, Slot slot = {},
              std::uint64_t generation = 0, std::uint64_t bytes = 0) {
    if (!on()) return;
    if (rows_.size() == most_rows_) {
      ++dropped_;
      return;
    }
    rows_.push_back({step_, rank_, static_cast<std::int32_t>(event), stream.hi, stream.lo, layer, block, peer, slot.index, generation, bytes});
  }
  void record(PageEvent event, PageKey const& key, comm::Rank peer = -1, Slot slot = {}, std::uint64_t generation = 0, std::uint64_t bytes = 0) {
    record(event, key.stream, key.layer * tables_per_layer_ + key.head_begin / kv_heads_, key.block, peer, slot, generation, bytes);
  }

  std::span<PageEventRow const> rows() const { return rows_; }
  void clear() { rows_.clear(); }
  /// Events that found no room, ever.
  std::uint64_t dropped() const { return dropped_; }

 private:
  comm::Rank rank_ = 0;
  Step step_ = 0;
  std::size_t most_rows_ = 0;
  std::int32_t tables_per_layer_ = 1, kv_heads_ = 1;
  std::vector<PageEventRow> rows_;
  std::uint64_t dropped_ = 0;
};

}  // namespace pikv::shards
