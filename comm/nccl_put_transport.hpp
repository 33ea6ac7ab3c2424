#pragma once

#include <cstddef>
#include <memory>

#include "comm/nccl_windows.hpp"
#include "comm/transport.hpp"

namespace pikv::comm {

/// As `inner`, but what is put into device memory of a peer whose GPU this one reaches goes from GPU to GPU: from pinned host memory to this GPU, and
/// on by a copy to the peer's. All else is up to `inner`: host memory, gets, fetch_add, this rank's own part, peers of other hosts, and regions whose
/// parts differ in size; and every put from when a window could not be made, since that may have ended some rank's communicator. `inner` allocates device memory from nccl_memory().
/// Puts of a transport land in the order in which they were asked for, whoever they are for, `staging_bytes` of them at a time (half under way while
/// the other half is filled).
std::unique_ptr<Transport> make_nccl_put_transport(World& world, std::unique_ptr<Transport> inner, NcclWindows& windows, std::size_t staging_bytes);

}  // namespace pikv::comm
