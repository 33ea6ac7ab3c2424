#include "comm/ucx_region.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "comm/error.hpp"
#include "comm/setup.hpp"

namespace pikv::comm {
namespace {

struct Told {
  std::uint64_t address;
  std::uint64_t staged;
};

DeviceMemory& device_of_every_rank(UcxWorld& world) {
  auto const none = world.first_trouble(world.device().why_absent(), world.in(setup_seconds));
  if (!none) return world.device();
  auto const& [rank, text] = *none;
  throw InputError(fmt::format("rank {} ({}) has no device memory: {}, or allocate host memory", rank, world.host_name(rank), text));
}

}  // namespace

UcxRegion::UcxRegion(UcxWorld& world, std::size_t bytes, Space space) : context_{world.worker().context()}, bytes_{bytes} {
  std::size_t const at_least_one = std::max<std::size_t>(bytes, 1);
  ucp_mem_map_params_t params{};   // mapped without the worker's lock: pinning takes long, and heartbeats must go on
  params.field_mask = UCP_MEM_MAP_PARAM_FIELD_LENGTH | UCP_MEM_MAP_PARAM_FIELD_FLAGS;
  params.length = at_least_one;
  params.flags = UCP_MEM_MAP_ALLOCATE;
  if (space == Space::device) {
    device_ = &device_of_every_rank(world);
    data_ = device_->allocate(at_least_one);
  }
  if (device_ != nullptr && device_->is_cuda() && world.worker().reaches_cuda()) {
    params.field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH | UCP_MEM_MAP_PARAM_FIELD_MEMORY_TYPE;
    params.address = data_;
    params.memory_type = UCS_MEMORY_TYPE_CUDA;
    reached_ = map(params);
  } else {
    reached_ = map(params);
    std::memset(reached_, 0, bytes);
    if (device_ == nullptr) data_ = reached_;
    else device_->pin({reached_, at_least_one});
  }
  tell(world);
}

std::byte* UcxRegion::map(ucp_mem_map_params_t params) {
  auto const what = fmt::format("allocate {} bytes of memory that other ranks reach; lower --kv-budget, or see the limits on shared memory", bytes_);
  check_ucx(ucp_mem_map(context_, &params, &memory_), what.c_str());
  ucp_mem_attr_t attributes{};
  attributes.field_mask = UCP_MEM_ATTR_FIELD_ADDRESS;
  check_ucx(ucp_mem_query(memory_, &attributes), "tell where its memory lies");
  return static_cast<std::byte*>(attributes.address);
}

void UcxRegion::tell(UcxWorld& world) {
  void* packed = nullptr;
  std::size_t packed_bytes = 0;
  check_ucx(ucp_rkey_pack(context_, memory_, &packed, &packed_bytes), "make a key to its memory");
  Told const told{reinterpret_cast<std::uint64_t>(reached_), staged()};
  std::vector<std::byte> mine(sizeof told + packed_bytes);
  std::memcpy(mine.data(), &told, sizeof told);
  std::memcpy(mine.data() + sizeof told, packed, packed_bytes);
  ucp_rkey_buffer_release(packed);
  for (Bytes const& theirs : world.all_gather(mine, world.in(setup_seconds))) {
    Told by_them;
    std::memcpy(&by_them, theirs.data(), sizeof by_them);
    peers_.push_back({by_them.address, by_them.staged != 0, {theirs.begin() + sizeof by_them, theirs.end()}, nullptr});
  }
}

UcxRegion::~UcxRegion() {
  for (Peer& peer : peers_)
    if (peer.key != nullptr) ucp_rkey_destroy(peer.key);
  if (device_ != nullptr && staged()) device_->unpin(reached_);
  if (memory_ != nullptr) ucp_mem_unmap(context_, memory_);
  if (device_ != nullptr) device_->free(data_);
}

void UcxRegion::copy_in(std::uint64_t byte, std::span<std::byte const> bytes) {
  if (device_ != nullptr) device_->copy_in(data_ + byte, bytes);
  else std::memcpy(data_ + byte, bytes.data(), bytes.size());
}

void UcxRegion::copy_out(std::span<std::byte> into, std::uint64_t byte) const {
  if (device_ != nullptr) device_->copy_out(into, data_ + byte);
  else std::memcpy(into.data(), data_ + byte, into.size());
}

void UcxRegion::land(std::uint64_t byte, std::size_t bytes) {
  if (staged()) device_->copy_in(data_ + byte, {reached_ + byte, bytes});
}

UcxRegion::Remote UcxRegion::of(Rank rank, ucp_ep_h endpoint, std::uint64_t byte) {
  Peer& peer = peers_[static_cast<std::size_t>(rank)];
  if (peer.key == nullptr) check_ucx(ucp_ep_rkey_unpack(endpoint, peer.packed_key.data(), &peer.key), "use the key to a peer's memory");
  return {peer.address + byte, peer.key};
}

}  // namespace pikv::comm
