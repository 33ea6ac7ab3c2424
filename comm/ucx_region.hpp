#pragma once

#include <ucp/api/ucp.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "comm/device_memory.hpp"
#include "comm/transport.hpp"
#include "comm/ucx_world.hpp"

namespace pikv::comm {

/// One collective allocation: this rank's memory, which UCX has chosen so that peers reach it fast, and the keys to the others'.
/// Device memory that UCX cannot reach is staged: peers reach pinned host memory of the same size, and land() copies what they put there.
/// Nothing is ever read from that host memory but by land(): bytes from the device in it would undo a put under way.
class UcxRegion {
 public:
  /// Collective. Zeroed. Throws InputError on every rank if device memory is asked for and a rank has none.
  UcxRegion(UcxWorld& world, std::size_t bytes, Space space);
  ~UcxRegion();
  UcxRegion(UcxRegion const&) = delete;   // owns registered memory

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  DeviceMemory* device() const { return device_; }   // null: host memory
  bool staged() const { return reached_ != data_; }
  bool staged(Rank at) const { return peers_[static_cast<std::size_t>(at)].staged; }

  /// This rank's own bytes, wherever they lie.
  void copy_in(std::uint64_t byte, std::span<std::byte const> bytes);
  void copy_out(std::span<std::byte> into, std::uint64_t byte) const;
  /// Copies what peers put to the device. Nothing to do where UCX reaches it.
  void land(std::uint64_t byte, std::size_t bytes);

  struct Remote {
    std::uint64_t address;
    ucp_rkey_h key;
  };
  /// Under the worker's lock.
  Remote of(Rank peer, ucp_ep_h endpoint, std::uint64_t byte);
  /// Leaves the memory mapped for ever.
  void release() {
    memory_ = nullptr;
    device_ = nullptr;
  }

 private:
  struct Peer {
    std::uint64_t address = 0;
    bool staged = false;
    std::vector<std::byte> packed_key;
    ucp_rkey_h key = nullptr;   // unpacked on first use
  };
  std::byte* map(ucp_mem_map_params_t params);
  void tell(UcxWorld& world);

  ucp_context_h context_;
  ucp_mem_h memory_ = nullptr;
  DeviceMemory* device_ = nullptr;
  std::byte* data_ = nullptr;
  std::byte* reached_ = nullptr;   // by peers
  std::size_t bytes_;
  std::vector<Peer> peers_;
};

}  // namespace pikv::comm
