#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "comm/message.hpp"
#include "comm/rank.hpp"
#include "shards/arena.hpp"
#include "shards/counts.hpp"
#include "shards/queue.hpp"

namespace pikv::shards {

/// A page as a query names it: 8 bytes (methods 1.7). The generation's low half tells a reused slot from the one meant.
struct PageName {
  std::int32_t slot = -1;
  std::uint32_t generation = 0;
};

/// A slot lent to a writer, who may put one page into it.
struct Grant {
  std::int32_t slot = -1;
  std::int32_t reserved = 0;
  std::uint64_t generation = 0;
};

/// Drop of all pages of a stream from a block on, in every layer, that were among the writer's first `pushes` pushes of the size class: a drop that had to
/// wait for room in a control message takes nothing that was pushed after it. So with pages that the owner has made in the class: those of the writer's first
/// `orders` orders to recode. Pages that another rank has pushed (they were moved) it leaves alone: their home retires them by name.
struct Drop {
  StreamId stream;
  Block from = 0;
  std::int32_t reserved = 0;
  std::uint64_t pushes = 0, orders = 0;
};

/// What an owner knows of a page it has indexed, taken from the header when that was verified: what happens to the header later changes
/// nothing of what is served.
struct IndexedPage {
  comm::Rank home = -1;             // -1: nothing is indexed in this slot
  std::int32_t tokens = 0;
  PageKey key;
  std::int64_t first_position = 0;
  std::uint64_t push = 0;           // its number, of its writer; of a recoded one, of its home's orders
  comm::Rank writer = -1;           // who pushed it: its home, or the owner it was moved from; this rank itself: it was recoded here
  KvExpert expert = 0;
  std::uint32_t reads = 0;          // by queries, since the last report of loads
};

/// This rank as an owner: grants slots, indexes what arrived, finds pages for queries, retires them. Its part of the
/// control message tells each writer the pushes indexed so far and the slots granted, as absolute counters.
/// Size classes are apart from each other: push n of a writer into slots of a class goes into grant n of that writer and class, so nothing
/// has to be announced but how many were sent.
class Owner {
 public:
  /// `quota`, by size class: slots of the arena that pages of others and own placed pages may fill; the rest is the home's.
  Owner(Arena& arena, comm::Rank self, int ranks, std::vector<std::size_t> const& quota, Fingerprint const& fingerprint, Counts& counts);

  static constexpr std::size_t most_grants = 512;     // per control message and size class
  static constexpr std::size_t control_bytes = 64 + most_grants * sizeof(Grant);   // per size class

  void write_control(comm::Rank writer, comm::MessageWriter& out);
  /// What the writer sent (home.hpp writes it): pushes sent, slots asked for, slots given back unused, drops, retires. Acted on by after_control().
  void read_control(comm::Rank writer, comm::MessageReader& in);
  /// Verifies and indexes arrived pages, drops what the homes released, frees retired slots, answers the requests for slots.
  void after_control(Step step, Step oldest_step_in_flight);

  /// True if `page` is indexed here, of that generation, and of the key's stream, layer and heads: only then may it be attended.
  bool holds(PageName page, PageKey const& key) const;
  IndexedPage const& indexed(Slot slot) const { return index_[static_cast<std::size_t>(slot.index)]; }

  /// A page of this rank's own placed on itself: from the home's share of the arena to the owner's. False: quota full.
  bool adopt(std::int32_t size_class);
  /// The same of one that is recoded here: whatever the quota, since it leaves another class.
  void adopt_recoded(std::int32_t size_class) { ++shelf(size_class).used; }
  /// It is released (its slot is given back by the home).
  void disown(std::int32_t size_class) { --shelf(size_class).used; }

  /// Drops one page, rotten or in the way; its home will find it stale and rewind.
  void evict(Slot slot, Step step);

  /// The slot stays taken, its bytes untouched, whatever becomes of its page, until let_go: a push of the page elsewhere is under way.
  void hold(Slot slot) { held_[static_cast<std::size_t>(slot.index)] = true; }
  void let_go(Slot slot, Step step);
  bool held(Slot slot) const { return held_[static_cast<std::size_t>(slot.index)]; }
  /// Indexes the cold one that was made of a page, by its home's order of that number, in a slot of its own. The warm one stays until its home retires it by name.
  void index_recoded(Slot warm, Slot cold, std::uint64_t order);
  /// A page of this rank's own that has come home: from now on it is as if placed here at once (adopted), no longer indexed.
  void come_home(Slot slot);
  void count_read(Slot slot) { ++index_[static_cast<std::size_t>(slot.index)].reads; }
  void forget_reads(Slot slot) { index_[static_cast<std::size_t>(slot.index)].reads = 0; }

  std::size_t quota(std::int32_t size_class) const { return shelf(size_class).quota; }
  std::size_t used(std::int32_t size_class) const { return shelf(size_class).used; }   // of the quota: lent, indexed, adopted, held empty
  /// Of all size classes together.
  std::size_t used() const { return sum(&Shelf::used); }
  std::size_t lent() const;                                             // granted, nothing indexed in them yet
  std::size_t pages() const { return sum(&Shelf::pages); }              // indexed, of other ranks
  std::size_t held_empty() const { return sum(&Shelf::held_empty); }    // of used(): held, their pages gone
  std::size_t adopted() const { return used() - pages() - held_empty() - lent(); }
  std::span<std::uint32_t const> pages_by_home() const { return pages_by_home_; }

 private:
  struct Writer {
    Queue<Grant> lent;                 // granted, not yet indexed; the front is number indexed + 1
    std::uint64_t granted = 0, indexed = 0, sent = 0;
    std::uint64_t damaged = 0;        // number of the push that was last found damaged
    Step damaged_in = 0;
    std::uint32_t asked = 0;
    std::uint64_t unwanted = 0;       // of `lent`, the newest: given back unused
    std::size_t unsent_grants = 0;    // the newest of `lent` that the next control message carries
    std::span<Drop const> drops;
    std::span<Grant const> retires;
  };
  struct Shelf {   // the slots of one size class
    std::size_t quota = 0, used = 0, pages = 0, held_empty = 0;
    std::vector<Writer> writers;
  };
  Shelf& shelf(std::int32_t size_class) { return shelves_[static_cast<std::size_t>(size_class)]; }
  Shelf const& shelf(std::int32_t size_class) const { return shelves_[static_cast<std::size_t>(size_class)]; }
  Shelf& shelf(Slot slot) { return shelf(arena_.size_class(slot)); }
  Writer& writer(comm::Rank rank, std::int32_t size_class) { return shelf(size_class).writers[static_cast<std::size_t>(rank)]; }
  std::size_t sum(std::size_t Shelf::* of) const;
  void index_arrived(comm::Rank writer, std::int32_t size_class, Step step);
  void drop_released(comm::Rank writer, std::int32_t size_class, Step step);
  void take_back_unwanted(comm::Rank writer, std::int32_t size_class, Step step);
  void answer_requests(std::int32_t size_class, Step step);
  void retire(std::int32_t slot, Step step);
  void unlist(Slot slot);
  bool takes(Drop const& drop, comm::Rank from, IndexedPage const& page) const;

  Arena& arena_;
  comm::Rank self_;
  int ranks_;
  Fingerprint fingerprint_;
  Counts& counts_;
  std::vector<Shelf> shelves_;
  std::vector<IndexedPage> index_;          // by slot
  std::vector<bool> held_;                  // by slot
  std::vector<std::uint32_t> pages_by_home_;
  std::unordered_map<StreamId, std::vector<std::int32_t>> slots_of_stream_;
};

}  // namespace pikv::shards
