// NCCL 2.29 and newer say to the host where a GPU reaches the memory of others.
#include <cuda_runtime_api.h>
#include <nccl_device.h>

#include "comm/error.hpp"
#include "comm/nccl.hpp"
#include "comm/nccl_window_calls.hpp"

namespace pikv::comm {

std::string why_no_nccl_windows() { return {}; }

std::vector<std::byte*> nccl_window_reach(ncclComm_t comm, void* window, cudaStream_t) {
  if (window == nullptr)   // and no error: docs/userguide/source/api/comms.rst, and NVIDIA/nccl issue 1963
    throw RunError(no_nccl_window);
  int ranks = 0;
  if (ncclCommCount(comm, &ranks) != ncclSuccess) throw RunError("NCCL could not tell how many ranks it has connected");
  std::vector<std::byte*> reach;
  for (int peer = 0; peer < ranks; ++peer) {
    void* part = nullptr;
    if (ncclGetPeerDevicePointer(static_cast<ncclWindow_t>(window), 0, peer, &part) != ncclSuccess)
      throw RunError("NCCL could not tell where the GPU reaches another");
    reach.push_back(static_cast<std::byte*>(part));
  }
  return reach;
}

}  // namespace pikv::comm
