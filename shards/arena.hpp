#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "comm/transport.hpp"
#include "shards/account.hpp"
#include "shards/epoch.hpp"
#include "shards/header.hpp"
#include "shards/page.hpp"

namespace pikv::shards {

struct SizeClass {
  kernels::PageLayout layout;   // of what its slots hold
  std::size_t slots = 0;
};

/// All pages a rank stores: slots in size classes, each with a header and a generation that counts its uses. Memory comes from
/// the transport (peers write into it), is taken once, and never grows. A class is two regions, headers and payloads, so
/// that the place of slot i is the same number on every rank however many slots each has.
/// Life of a slot: free -> taken -> (retired in step s -> free by reclaim) | (given back at once, if no peer ever knew it).
class Arena {
 public:
  /// Collective (allocates regions).
  Arena(comm::Transport& transport, std::vector<SizeClass> const& classes);

  /// A free slot, or an invalid one when there is none. FIFO: the slot free the longest comes first.
  Slot take(std::int32_t size_class);
  /// What the taken slot is used for, for the account: payload and header bytes in use, the rest of the slot is slack.
  /// `replica` books payload and header under Memory::replicas. May be called again for the same slot.
  void book(Slot slot, std::size_t payload_bytes, bool replica);
  /// The slot's page is gone now: generation + 1, header emptied, bytes free again; reusable at once.
  void give_back(Slot slot);
  /// As give_back, but reusable only once reclaim(oldest) was called with oldest > step.
  void retire(Slot slot, Step step);
  void reclaim(Step oldest_step_in_flight);

  std::uint64_t generation(Slot slot) const;
  std::size_t free_slots(std::int32_t size_class) const;   // neither taken nor retired
  std::size_t retired_slots(std::int32_t size_class) const;
  std::size_t slots(std::int32_t size_class) const;

  PageHeader& header(Slot slot);
  std::span<std::byte> payload(Slot slot);                 // layout.bytes() long
  kernels::PoolView view(std::int32_t size_class) const;

  /// Where a peer finds them.
  comm::Offset header_at(Slot slot) const;
  comm::Offset payload_at(Slot slot) const;

  MemoryAccount& account() { return account_; }
  MemoryAccount const& account() const { return account_; }

 private:
  struct SlotInfo {
    std::uint64_t generation = 1;   // 0 is no generation: a zeroed header never matches
    std::size_t booked = 0;
    bool taken = false, replica = false;
  };
  struct Retired {
    std::int32_t index;
    Step step;
  };
  struct Pool {
    SizeClass shape;
    comm::Region headers, payloads;
    std::size_t slot_bytes = 0;
    std::vector<SlotInfo> info;
    std::deque<std::int32_t> free;
    std::deque<Retired> retired;
  };
  SlotInfo& info(Slot slot);
  MemoryAccount account_;
  std::vector<Pool> pools_;
};

/// Bytes one slot of `layout` costs a budget, header included.
std::size_t slot_cost(kernels::PageLayout const& layout);

}  // namespace pikv::shards
