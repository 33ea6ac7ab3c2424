#include "comm/ucx_region.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "comm/error.hpp"
#include "comm/setup.hpp"

namespace pikv::comm {
UcxRegion::UcxRegion(UcxWorld& world, std::size_t bytes, Space space) : context_{world.worker().context()}, bytes_{bytes} {
  if (space == Space::device) throw InputError("the ucx transport has no device memory yet; allocate host memory");
  {
    ucp_mem_map_params_t params{};   // without the worker's lock: pinning takes long, and heartbeats must go on
    params.field_mask = UCP_MEM_MAP_PARAM_FIELD_LENGTH | UCP_MEM_MAP_PARAM_FIELD_FLAGS;
    params.length = std::max<std::size_t>(bytes, 1);
    params.flags = UCP_MEM_MAP_ALLOCATE;
    auto const what = fmt::format("allocate {} bytes of memory that other ranks reach; lower --kv-budget, or see the limits on shared memory", bytes);
    check_ucx(ucp_mem_map(context_, &params, &memory_), what.c_str());
    ucp_mem_attr_t attributes{};
    attributes.field_mask = UCP_MEM_ATTR_FIELD_ADDRESS;
    check_ucx(ucp_mem_query(memory_, &attributes), "tell where its memory lies");
    data_ = static_cast<std::byte*>(attributes.address);
  }
  std::memset(data_, 0, bytes);
  tell(world);
}

void UcxRegion::tell(UcxWorld& world) {
  void* packed = nullptr;
  std::size_t packed_bytes = 0;
  check_ucx(ucp_rkey_pack(context_, memory_, &packed, &packed_bytes), "make a key to its memory");
  std::vector<std::byte> mine(sizeof(std::uint64_t) + packed_bytes);
  auto const address = reinterpret_cast<std::uint64_t>(data_);
  std::memcpy(mine.data(), &address, sizeof address);
  std::memcpy(mine.data() + sizeof address, packed, packed_bytes);
  ucp_rkey_buffer_release(packed);
  for (Bytes const& theirs : world.all_gather(mine, world.in(setup_seconds))) {
    Peer& peer = peers_.emplace_back();
    std::memcpy(&peer.address, theirs.data(), sizeof peer.address);
    peer.packed_key.assign(theirs.begin() + sizeof peer.address, theirs.end());
  }
}

UcxRegion::~UcxRegion() {
  for (Peer& peer : peers_)
    if (peer.key != nullptr) ucp_rkey_destroy(peer.key);
  if (memory_ != nullptr) ucp_mem_unmap(context_, memory_);
}

UcxRegion::Remote UcxRegion::of(Rank rank, ucp_ep_h endpoint, std::uint64_t byte) {
  Peer& peer = peers_[static_cast<std::size_t>(rank)];
  if (peer.key == nullptr) check_ucx(ucp_ep_rkey_unpack(endpoint, peer.packed_key.data(), &peer.key), "use the key to a peer's memory");
  return {peer.address + byte, peer.key};
}

}  // namespace pikv::comm
