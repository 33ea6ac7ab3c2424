#include "comm/inprocess_transport.hpp"

#include <cstring>
#include <stdexcept>

#include "comm/error.hpp"
#include "comm/setup.hpp"

namespace pikv::comm {

void InprocessPart::write(std::uint64_t at, std::span<std::byte const> bytes) const {
  if (bytes.empty()) return;
  if (in_host_memory()) std::memcpy(data_ + at, bytes.data(), bytes.size());
  else device_->copy_in(data_ + at, bytes);
}

void InprocessPart::read(std::uint64_t at, std::span<std::byte> into) const {
  if (into.empty()) return;
  if (in_host_memory()) std::memcpy(into.data(), data_ + at, into.size());
  else device_->copy_out(into, data_ + at);
}

InprocessTransport::InprocessTransport(World& world, std::shared_ptr<InprocessRegions> regions, DeviceMemory& device)
    : CheckedTransport{world}, regions_{std::move(regions)}, device_{device} {}

Region InprocessTransport::allocate(std::size_t bytes, Space space) {
  if (space == Space::device && !device_.why_absent().empty())
    throw InputError("the in-process transport has no device memory: " + device_.why_absent() + ", or allocate host memory");
  InprocessPart part = space == Space::host ? InprocessPart{bytes} : InprocessPart{bytes, device_};
  std::byte* const data = part.data();
  auto& parts = regions_->parts;
  if (parts.size() == region_count()) parts.emplace_back(static_cast<std::size_t>(world().size()));
  parts[region_count()][static_cast<std::size_t>(world().rank())] = std::move(part);
  return {agree_on_region(bytes), data, bytes};
}

Op InprocessTransport::put(Rank to, Offset at, std::span<std::byte const> bytes) {
  check_put(to, at, bytes.size());
  part(to, at).write(at.byte, bytes);
  return ops_.take({});
}

Op InprocessTransport::get(Rank from, Offset at, std::span<std::byte> into) {
  check_get(from, at, into.size());
  part(from, at).read(at.byte, into);
  return ops_.take({});
}

Op InprocessTransport::flush(Rank) {
  count_flush();
  return ops_.take({});
}

Op InprocessTransport::fetch_add(Rank to, Offset at, std::uint64_t add, std::uint64_t* before) {
  check_atomic(to, at);
  if (!part(to, at).in_host_memory()) throw std::logic_error("fetch_add in device memory");
  part(to, at).read(at.byte, std::as_writable_bytes(std::span{before, 1}));
  std::uint64_t const after = *before + add;
  part(to, at).write(at.byte, std::as_bytes(std::span{&after, 1}));
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

InprocessPart& InprocessTransport::part(Rank rank, Offset at) const { return regions_->parts[at.region][static_cast<std::size_t>(rank)]; }

}  // namespace pikv::comm
