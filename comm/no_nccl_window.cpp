#include "comm/error.hpp"
#include "comm/nccl.hpp"
#include "comm/nccl_window_calls.hpp"

namespace pikv::comm {

std::string why_no_nccl_windows() { return "this build's NCCL has no windows that other GPUs reach; rebuild with NCCL 2.28 or newer"; }

DeviceMemory& nccl_memory() { return gpu_memory(); }

ncclResult_t begin_nccl_window(ncclComm_t, std::span<std::byte>, void**) { throw RunError(why_no_nccl_windows()); }
std::vector<std::byte*> nccl_window_reach(ncclComm_t, void*, cudaStream_t) { throw RunError(why_no_nccl_windows()); }
ncclResult_t end_nccl_window(ncclComm_t, void*) { return ncclSuccess; }

}  // namespace pikv::comm
