#pragma once

#include <memory>
#include <vector>

#include "comm/checked_transport.hpp"
#include "comm/op_slots.hpp"
#include "comm/zeroed_memory.hpp"

namespace pikv::comm {

/// The regions of one transport, of all ranks of this address space. Outlives the first rank that is done with it.
struct InprocessRegions {
  std::vector<std::vector<ZeroedMemory>> parts;   // [region][rank]
};

/// One-sided memory by memcpy: every transfer is complete when it has been started.
class InprocessTransport : public CheckedTransport {
 public:
  InprocessTransport(World& world, std::shared_ptr<InprocessRegions> regions);

  std::string_view name() const override { return "in-process"; }
  Region allocate(std::size_t bytes, Space space) override;
  Op put(Rank to, Offset at, std::span<std::byte const> bytes) override;
  Op get(Rank from, Offset at, std::span<std::byte> into) override;
  Op flush(Rank to) override;
  Op fetch_add(Rank to, Offset at, std::uint64_t add, std::uint64_t* before) override;
  void poll() override {}
  bool test(Op op) override;
  Status wait(Op op, Deadline deadline) override;

 private:
  std::byte* address(Rank rank, Offset at) const;
  struct Nothing {};
  std::shared_ptr<InprocessRegions> regions_;
  OpSlots<Nothing> ops_;
};

}  // namespace pikv::comm
