#include "comm/inprocess_transport.hpp"

#include <cstring>

#include "comm/error.hpp"
#include "comm/setup.hpp"

namespace pikv::comm {

InprocessTransport::InprocessTransport(World& world, std::shared_ptr<InprocessRegions> regions)
    : CheckedTransport{world}, regions_{std::move(regions)} {}

Region InprocessTransport::allocate(std::size_t bytes, Space space) {
  if (space == Space::device) throw InputError("the in-process transport has no device memory; allocate host memory, or start ranks with mpirun and choose --transport ucx");
  ZeroedMemory part{bytes};
  std::byte* const data = part.data();
  auto& parts = regions_->parts;
  if (parts.size() == region_count()) parts.emplace_back(static_cast<std::size_t>(world().size()));
  parts[region_count()][static_cast<std::size_t>(world().rank())] = std::move(part);
  return {agree_on_region(bytes), data, bytes};
}

Op InprocessTransport::put(Rank to, Offset at, std::span<std::byte const> bytes) {
  check_put(to, at, bytes.size());
  if (!bytes.empty()) std::memcpy(address(to, at), bytes.data(), bytes.size());
  return ops_.take({});
}

Op InprocessTransport::get(Rank from, Offset at, std::span<std::byte> into) {
  check_get(from, at, into.size());
  if (!into.empty()) std::memcpy(into.data(), address(from, at), into.size());
  return ops_.take({});
}

Op InprocessTransport::flush(Rank) {
  count_flush();
  return ops_.take({});
}

Op InprocessTransport::fetch_add(Rank to, Offset at, std::uint64_t add, std::uint64_t* before) {
  check_atomic(to, at);
  std::memcpy(before, address(to, at), sizeof *before);
  std::uint64_t const after = *before + add;
  std::memcpy(address(to, at), &after, sizeof after);
  return ops_.take({});
}

bool InprocessTransport::test(Op op) {
  (void)ops_.at(op);
  return true;
}

Status InprocessTransport::wait(Op op, Deadline deadline) {
  ops_.release(op);
  return world().wait([] { return true; }, deadline);
}

std::byte* InprocessTransport::address(Rank rank, Offset at) const {
  return regions_->parts[at.region][static_cast<std::size_t>(rank)].data() + at.byte;
}

}  // namespace pikv::comm
