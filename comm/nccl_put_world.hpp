#pragma once

#include <cstddef>
#include <memory>

#include "comm/nccl_device.hpp"
#include "comm/nccl_world.hpp"
#include "comm/setup.hpp"

namespace pikv::comm {

struct NcclPutOptions {
  double patience_s = setup_seconds;
  std::size_t staging_bytes = std::size_t{16} << 20;   // of pinned host memory, and as much of the GPU's, per transport with device memory
};

/// Collective; connects the ranks, as connect_over_nccl(). A world like `inner` (which must outlive it, as it must outlive what it makes) whose
/// transports put into device memory as make_nccl_put_transport() says, exchanges as ever. Of more than one rank. Where that throws NotConnected,
/// `inner` carries pages as before. `inner` allocates device memory from nccl_memory().
std::unique_ptr<NcclWorld> make_nccl_put_world(World& inner, std::unique_ptr<NcclDevice> device = nullptr, NcclPutOptions const& options = {});

}  // namespace pikv::comm
