#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstddef>
#include <span>
#include <vector>

namespace pikv::comm {

// The calls for windows (nccl_windows.hpp), whose kind depends on the version of NCCL that this is built with: a file each.

/// Collective. `*window` is written before the communicator has settled.
ncclResult_t begin_nccl_window(ncclComm_t comm, std::span<std::byte> memory, void** window);
/// [rank] where this GPU finds the rank's part; null: it does not. Waits for `stream`. RunError where there is no window, in the words below.
std::vector<std::byte*> nccl_window_reach(ncclComm_t comm, void* window, cudaStream_t stream);
inline constexpr char const* no_nccl_window =
    "NCCL makes no windows here: they want peer access between all GPUs of a host (nvidia-smi topo -p2p p), and neither NCCL_CUMEM_ENABLE=0 nor NCCL_WIN_ENABLE=0";
ncclResult_t end_nccl_window(ncclComm_t comm, void* window);

}  // namespace pikv::comm
