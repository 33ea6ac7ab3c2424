#include "comm/checked_transport.hpp"

#include <fmt/format.h>

#include <cstring>
#include <stdexcept>

#include "comm/setup.hpp"

namespace pikv::comm {
namespace {

std::uint64_t& by_locality(World const& world, Rank peer, std::uint64_t& self, std::uint64_t& host, std::uint64_t& remote) {
  if (peer == world.rank()) return self;
  return world.host(peer) == world.host(world.rank()) ? host : remote;
}

}  // namespace

RegionId CheckedTransport::agree_on_region(std::size_t bytes) {
  auto& sizes = sizes_.emplace_back();
  for (Bytes const& theirs : world_.all_gather(std::as_bytes(std::span{&bytes, 1}), world_.in(setup_seconds))) {
    std::size_t size = 0;
    std::memcpy(&size, theirs.data(), sizeof size);
    sizes.push_back(size);
  }
  return static_cast<RegionId>(sizes_.size() - 1);
}

void CheckedTransport::check_inside(Rank peer, Offset at, std::size_t bytes) const {
  if (peer < 0 || peer >= world_.size()) throw std::out_of_range(fmt::format("transfer with rank {} of {}", peer, world_.size()));
  if (at.region >= sizes_.size()) throw std::out_of_range(fmt::format("transfer in region {} of {}", at.region, sizes_.size()));
  std::size_t const part = sizes_[at.region][static_cast<std::size_t>(peer)];
  if (at.byte > part || bytes > part - at.byte)
    throw std::out_of_range(fmt::format("transfer of {} bytes at {} of region {}, where rank {} has {} bytes", bytes, at.byte,
                                        at.region, peer, part));
}

void CheckedTransport::check_put(Rank to, Offset at, std::size_t bytes) {
  check_inside(to, at, bytes);
  ++counts_.puts;
  by_locality(world_, to, counts_.put_bytes_to_self, counts_.put_bytes_to_host, counts_.put_bytes_to_remote) += bytes;
}

void CheckedTransport::check_get(Rank from, Offset at, std::size_t bytes) {
  check_inside(from, at, bytes);
  ++counts_.gets;
  by_locality(world_, from, counts_.get_bytes_from_self, counts_.get_bytes_from_host, counts_.get_bytes_from_remote) += bytes;
}

void CheckedTransport::check_atomic(Rank to, Offset at) {
  check_inside(to, at, sizeof(std::uint64_t));
  if (at.byte % sizeof(std::uint64_t) != 0) throw std::out_of_range(fmt::format("atomic at byte {}, not 8-byte aligned", at.byte));
  ++counts_.atomics;
}

}  // namespace pikv::comm
