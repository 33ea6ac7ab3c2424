#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "shards/arena.hpp"
#include "shards/counts.hpp"
#include "shards/replicas.hpp"
#include "shards/store_options.hpp"
#include "shards/stream.hpp"
#include "shards/tier.hpp"

namespace pikv::shards {

/// Moves sealed pages of a home between its arena and slower tiers, and brings copies of those that are read there. Only with --store local, so
/// that a page is at its home or in one of the home's tiers. A page that crosses either way is verified, its payload hashed once: one that is
/// rotten does not leave, one that comes back damaged is lost. Each stay in a tier has a generation of its own, stamped into the header, so
/// that what another page or an older one left there is not taken for it. Coded pages cross as they are.
class Tiers {
 public:
  /// Does nothing unless options.tiers. Throws InputError if options.tier_folder cannot be written to.
  Tiers(Arena& arena, StoreOptions const& options, Counts& counts);

  /// Moves a sealed page; the arena's slot, or the place, is free at once. False: it stays where it is, for want of room, because it is
  /// not sealed, or (then it is marked) because it is damaged.
  bool move(Stream& stream, std::int32_t table, Block block, TierKind to);
  /// Frees the places of a stream's pages from a block on; the entries are the caller's to drop.
  void drop(Stream& stream, Block from);

  /// A page of a slower tier is to be read by what is attended next.
  void ask(Stream& stream, std::int32_t table, Block block) { asked_.push_back({&stream, table, block, {}}); }
  /// Copies of the next asked pages, as many as there are slots for, become readable in the arena in place of those of the last call. Damaged
  /// ones are lost. False, and no copies any more, once all have had their turn.
  bool stage(std::vector<Damage>& damages);

  Tier& tier(TierKind kind) { return *slower_[static_cast<std::size_t>(kind) - 1]; }
  Tier const& tier(TierKind kind) const { return *slower_[static_cast<std::size_t>(kind) - 1]; }
  bool on() const { return slower_[0] != nullptr; }

 private:
  struct Copy {
    Stream* stream;
    std::int32_t table;
    Block block;
    Slot slot;
  };
  bool leave(Stream& stream, std::int32_t table, Block block, TierKind to);
  bool come_back(Stream& stream, std::int32_t table, Block block);
  bool change(Stream& stream, std::int32_t table, Block block, TierKind to);
  bool get(Copy const& page);
  bool get_to_slot(Copy const& page);
  void put(Stream& stream, std::int32_t table, Block block, TierKind to, std::span<std::byte const> payload);
  void lose(Stream& stream, std::int32_t table, Block block);
  std::size_t room_for_copies(std::int32_t size_class) const { return options_.slots_of(size_class).replica_slots; }

  Arena& arena_;
  StoreOptions const& options_;
  Counts& counts_;
  std::array<std::unique_ptr<Tier>, tier_kinds - 1> slower_;
  std::vector<Copy> asked_;
  std::vector<std::size_t> copies_;     // staged, by size class
  std::size_t next_ = 0, staged_ = 0;   // of asked_: the first that had no turn yet; the first of those that are staged
  std::uint64_t generation_ = 0;
  PageHeader header_;
  std::vector<std::byte> payload_;
};

}  // namespace pikv::shards
