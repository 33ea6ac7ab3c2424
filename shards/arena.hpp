#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "comm/function_ref.hpp"
#include "comm/transport.hpp"
#include "kernels/buffer.hpp"
#include "shards/account.hpp"
#include "shards/epoch.hpp"
#include "shards/events.hpp"
#include "shards/fifo.hpp"
#include "shards/header.hpp"
#include "shards/page.hpp"

namespace pikv::shards {

struct SizeClass {
  kernels::PageLayout layout;   // of an uncompressed page
  std::size_t slots = 0;
  std::size_t coded_bytes = 0;  // of the pages its slots hold; 0: they are uncompressed

  std::size_t payload_bytes() const { return coded_bytes > 0 ? coded_bytes : layout.bytes(); }
  std::size_t slot_bytes() const { return slot_bytes_for(payload_bytes(), coded_bytes > 0 ? coded_slot_alignment : slot_alignment); }
  /// What a slot costs a budget, header included.
  std::size_t slot_cost() const { return header_bytes + slot_bytes(); }
};

/// What a slot of uncompressed pages costs.
inline std::size_t slot_cost(kernels::PageLayout const& layout) { return SizeClass{.layout = layout}.slot_cost(); }

/// All pages a rank stores: slots in size classes, each with a header and a generation that counts its uses. Memory comes from
/// the transport (peers write into it), is taken once, and never grows. A class is two regions, headers and payloads, so
/// that a slot's place is the same number on every rank however many slots each has. Headers lie in host memory, payloads in the device's.
/// Life of a slot: free -> taken -> (retired in step s -> free by reclaim) | (given back at once, if no peer ever knew it).
/// A step may end before a device has read the pages of its plan: who tells peers that it is over waits for the device before, since their puts are not in
/// the device's order of work. Engine does so, once a step.
/// A slot that is none of ours, or used against its life, throws std::logic_error (a bug of ours). Nothing allocates after construction.
class Arena {
 public:
  /// Collective (allocates regions: headers, then payloads, of each class in order). All bytes start as Memory::free.
  Arena(comm::Transport& transport, std::vector<SizeClass> const& classes, kernels::Device& device = kernels::host_device());

  /// A free slot, or an invalid one when there is none. FIFO: the slot free the longest comes first.
  Slot take(std::int32_t size_class);
  /// What the taken slot is used for, for the account: payload and header bytes in use, the rest of the slot is slack.
  /// `replica` books payload and header under Memory::replicas. May be called again for the same slot.
  void book(Slot slot, std::size_t payload_bytes, bool replica);
  /// The slot's page is gone now: generation + 1, header emptied, bytes free again; reusable at once.
  void give_back(Slot slot);
  /// As give_back, but reusable only once reclaim(oldest) was called with oldest > step. Steps do not fall from call to call.
  void retire(Slot slot, Step step);
  void reclaim(Step oldest_step_in_flight);

  std::uint64_t generation(Slot slot) const;
  bool booked(Slot slot) const;
  std::size_t free_slots(std::int32_t size_class) const;   // neither taken nor retired
  std::size_t retired_slots(std::int32_t size_class) const;
  std::size_t slots(std::int32_t size_class) const;
  std::size_t payload_bytes(std::int32_t size_class) const { return pool(size_class).shape.payload_bytes(); }
  std::size_t slot_cost(std::int32_t size_class) const { return pool(size_class).shape.slot_cost(); }
  std::int32_t classes() const { return static_cast<std::int32_t>(pools_.size()); }
  /// One past the largest slot number; not every number below it is a slot.
  std::int32_t end() const { return end_; }
  bool is_slot(Slot slot) const;

  PageHeader& header(Slot slot);
  /// payload_bytes() of its class long, in the device's memory. What the processor reads and writes of it on any device goes through the next few.
  std::span<std::byte> payload(Slot slot);
  std::int32_t size_class(Slot slot) const { return slot.index % classes(); }
  std::int32_t place(Slot slot) const { return slot.index / classes(); }   // in its class: what kernels call a slot
  /// Of a class of uncompressed pages.
  kernels::PoolView view(std::int32_t size_class) const;
  /// Of a class of coded ones, that are of this form.
  kernels::FormedPool coded(std::int32_t size_class, kernels::CodedForm const& form) const;

  /// seal() and verify() of shards/header.hpp over the slot's payload, where it lies. The header may be another than the slot's.
  void seal(PageHeader& header, Slot slot, std::size_t payload_bytes);
  Verdict verify(PageHeader const& header, Slot slot, PageKey const& key, std::uint64_t generation, Fingerprint const& fingerprint);
  Verdict verify_arrived(PageHeader const& header, Slot slot, std::uint64_t generation, Fingerprint const& fingerprint);
  /// The first bytes of a payload: where they lie, or a copy that is good until the next.
  std::span<std::byte const> read(Slot slot, std::size_t bytes);
  void copy_out(Slot slot, std::span<std::byte> to) const;
  /// `bring` writes the first bytes of a payload, and says whether it could.
  bool fill(Slot slot, std::size_t bytes, comm::FunctionRef<bool(std::span<std::byte> into)> bring);
  /// An uncompressed page for who looks at keys and values: where it lies, or a copy that is good until the next.
  struct HostPage {
    kernels::PoolView pool;
    std::int32_t slot = 0;
  };
  HostPage host_page(Slot slot);
  /// kernels::coded_errors of a coded page, good until the next read().
  kernels::CodedErrors errors(Slot slot, kernels::CodedLayout const& layout);
  kernels::Device& device() const { return device_; }

  /// Where a peer finds them.
  comm::Offset header_at(Slot slot) const;
  comm::Offset payload_at(Slot slot) const;

  MemoryAccount& account() { return account_; }
  MemoryAccount const& account() const { return account_; }
  /// What happened to the pages of this rank: everyone who changes one has the arena, and writes it down here.
  PageEvents& events() { return events_; }
  PageEvents const& events() const { return events_; }

 private:
  enum class Use : std::uint8_t { free, taken, retired };
  struct SlotInfo {
    std::uint64_t generation = 1;   // 0 is no generation: a zeroed header never matches
    std::size_t payload_bytes = 0;  // as booked
    Use use = Use::free;
    bool booked = false, replica = false;
  };
  struct Retired {
    std::int32_t place = -1;
    Step step = 0;
  };
  struct Pool {
    SizeClass shape;
    std::size_t slot_bytes = 0;
    comm::Region headers, payloads;
    std::vector<SlotInfo> info;
    Fifo<std::int32_t> free;
    Fifo<Retired> retired;
  };
  Pool& pool(std::int32_t size_class) { return pools_.at(static_cast<std::size_t>(size_class)); }
  Pool const& pool(std::int32_t size_class) const { return pools_.at(static_cast<std::size_t>(size_class)); }
  Pool& pool(Slot slot) { return pool(size_class(slot)); }
  Pool const& pool(Slot slot) const { return pool(size_class(slot)); }
  SlotInfo& info(Slot slot) { return pool(slot).info.at(static_cast<std::size_t>(place(slot))); }
  SlotInfo const& info(Slot slot) const { return pool(slot).info.at(static_cast<std::size_t>(place(slot))); }
  SlotInfo& taken(Slot slot);   // throws std::logic_error if it is not
  void unbook(Slot slot);
  void empty(Slot slot);
  void take_checksums_of(Slot slot, std::size_t bytes, std::size_t slices, std::uint64_t* out);

  kernels::Device& device_;
  kernels::HostBuffer<std::byte> read_{device_}, host_page_{device_};   // copies of what a device has
  MemoryAccount account_;
  PageEvents events_;
  std::vector<Pool> pools_;
  std::int32_t end_ = 0;
};

}  // namespace pikv::shards
