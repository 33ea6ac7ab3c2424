#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "comm/rank.hpp"
#include "shards/block.hpp"
#include "shards/kv_expert.hpp"
#include "shards/page.hpp"
#include "shards/tier.hpp"

namespace pikv::shards {

/// Life of a page, decided by its home alone (design 5): open -> sealed -> pending -> remote -> evicted | lost; sealed <-> demoted.
///   open     being filled, at home
///   sealed   full, at home: it stays (a sink, an own shard's page, --store local) or waits for a slot elsewhere
///   pending  pushed; the home attends its own copy until the owner has acknowledged
///   demoted  full, at home, in a slower tier (tiers.hpp); a copy is brought for as long as it is read
///   remote   on its owner, verified there; the home's copy is freed
///   evicted  dropped by a policy: nobody reads it any more
///   lost     nowhere: the stream must be rewound to this block
enum class PageLife : std::uint8_t { none, open, sealed, pending, remote, evicted, lost, demoted };

/// {owner, slot, generation, expert} of a page, and where the home itself holds its bytes.
struct DirectoryEntry {
  PageLife life = PageLife::none;
  comm::Rank owner = -1;            // sealed: where it is bound for; pending, remote: where it is
  KvExpert expert = -1;
  Slot local;                       // in the home's arena: open, sealed, pending
  Slot replica;                     // a verified copy in the home's arena of a remote or demoted page
  TierPlace place;                  // demoted
  Slot slot;                        // in the owner's arena: pending, remote
  std::uint64_t generation = 0;     // of that slot, or of its stay in that place
  bool moving = false;              // on its way to another owner; served from where it is until the home hears that it has arrived
  bool recoding = false;            // its owner was told to make a cold one of it; served as it is until the home hears that this is there
  bool moved = false;               // remote: pushed there by another rank than its home, so that only its name releases it
  std::uint16_t refusals = 0;       // of moves under the present placement
  std::uint32_t reads = 0;          // sealed, on its own home's shard: since the last report of loads
  bool condemned = false;           // pending: evicted once its push is acknowledged, and no longer read
  bool rotten = false;              // the only copy, at home, is not what was sealed: the stream must be rewound to this block

  /// Whether it may be read, wherever it lies.
  bool exists() const { return life != PageLife::none && life != PageLife::evicted && !condemned; }
  /// The home's own readable copy, invalid if there is none.
  Slot readable() const { return rotten ? Slot{} : local.valid() ? local : replica; }
};

/// At the home, per stream: the only look-up there is. Entries of a block lie together, layer by layer.
class Directory {
 public:
  explicit Directory(std::int32_t layers) : layers_{layers} {}

  void reserve(Block blocks) { entries_.reserve(static_cast<std::size_t>(blocks) * static_cast<std::size_t>(layers_)); }
  void resize(Block blocks) { entries_.resize(static_cast<std::size_t>(blocks) * static_cast<std::size_t>(layers_)); }
  Block blocks() const { return static_cast<Block>(entries_.size() / static_cast<std::size_t>(layers_)); }
  DirectoryEntry& at(std::int32_t layer, Block block) { return entries_[index(layer, block)]; }
  DirectoryEntry const& at(std::int32_t layer, Block block) const { return entries_[index(layer, block)]; }

 private:
  std::size_t index(std::int32_t layer, Block block) const {
    return static_cast<std::size_t>(block) * static_cast<std::size_t>(layers_) + static_cast<std::size_t>(layer);
  }
  std::int32_t layers_;
  std::vector<DirectoryEntry> entries_;
};

}  // namespace pikv::shards
