#pragma once

#include <ucp/api/ucp.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "comm/transport.hpp"
#include "comm/ucx_world.hpp"

namespace pikv::comm {

/// One collective allocation: this rank's memory, which UCX has chosen so that peers reach it fast, and the keys to the others'.
class UcxRegion {
 public:
  /// Collective. Zeroed. Throws InputError for device memory.
  UcxRegion(UcxWorld& world, std::size_t bytes, Space space);
  ~UcxRegion();
  UcxRegion(UcxRegion const&) = delete;   // owns registered memory

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

  struct Remote {
    std::uint64_t address;
    ucp_rkey_h key;
  };
  /// Under the worker's lock.
  Remote of(Rank peer, ucp_ep_h endpoint, std::uint64_t byte);
  /// Leaves the memory mapped for ever.
  void release() { memory_ = nullptr; }

 private:
  struct Peer {
    std::uint64_t address = 0;
    std::vector<std::byte> packed_key;
    ucp_rkey_h key = nullptr;   // unpacked on first use
  };
  void tell(UcxWorld& world);

  ucp_context_h context_;
  ucp_mem_h memory_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t bytes_;
  std::vector<Peer> peers_;
};

}  // namespace pikv::comm
