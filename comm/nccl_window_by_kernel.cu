// NCCL 2.28 tells device code alone where a GPU reaches the memory of others.
#include <nccl_device.h>

#include <string>

#include "comm/error.hpp"
#include "comm/nccl.hpp"
#include "comm/nccl_window_calls.hpp"

namespace pikv::comm {
namespace {

void check_cuda(cudaError_t result, char const* what) {
  if (result != cudaSuccess) throw RunError(std::string{"the GPU could not "} + what + ": " + cudaGetErrorString(result));
}

/// reach [count] device: those of `count` ranks from `first` on.
__global__ void tell_reach(ncclWindow_t window, int first, int count, std::byte** reach) {
  for (int i = 0; i < count; ++i) reach[i] = static_cast<std::byte*>(ncclGetPeerPointer(window, 0, first + i));
}

/// Without windows NCCL 2.28 registers memory for itself alone, and says so by what it returns: no object of the GPU's (src/dev_runtime.cc,
/// ncclDevrWindowRegisterInGroup).
bool is_window(void* window) {
  cudaPointerAttributes attributes{};
  return window != nullptr && cudaPointerGetAttributes(&attributes, window) == cudaSuccess && attributes.type == cudaMemoryTypeDevice;
}

}  // namespace

// What kernels are compiled with must be what runs (docs/userguide/source/usage/deviceapi.rst, "Cross-Version Compatibility").
std::string why_no_nccl_windows() {
  int code = 0;
  if (ncclGetVersion(&code) == ncclSuccess && code == NCCL_VERSION_CODE) return {};
  return "NCCL " + nccl_version() + " is loaded and kernels were compiled with " + std::to_string(NCCL_MAJOR) + "." + std::to_string(NCCL_MINOR) +
         "." + std::to_string(NCCL_PATCH) + "; rebuild with the one that is loaded";
}

std::vector<std::byte*> nccl_window_reach(ncclComm_t comm, void* window, cudaStream_t stream) {
  if (!is_window(window)) throw RunError(no_nccl_window);
  int ranks = 0, rank = 0;
  bool const told = ncclCommCount(comm, &ranks) == ncclSuccess && ncclCommUserRank(comm, &rank) == ncclSuccess;
  if (!told) throw RunError("NCCL could not tell how many ranks it has connected");
  ncclTeam_t const near = ncclTeamLsa(comm);   // in order of the ranks, one after another
  if (near.nRanks < 1) throw RunError("NCCL could not tell which GPUs reach one another");
  std::vector<std::byte*> reach(static_cast<std::size_t>(ranks));
  int const first = rank - near.rank;
  std::byte** found = nullptr;
  std::size_t const bytes = sizeof(std::byte*) * static_cast<std::size_t>(near.nRanks);
  check_cuda(cudaMallocAsync(reinterpret_cast<void**>(&found), bytes, stream), "allocate memory");
  tell_reach<<<1, 1, 0, stream>>>(static_cast<ncclWindow_t>(window), first, near.nRanks, found);
  check_cuda(cudaGetLastError(), "run a kernel");
  check_cuda(cudaMemcpyAsync(reach.data() + first, found, bytes, cudaMemcpyDeviceToHost, stream), "tell where it reaches other GPUs");
  check_cuda(cudaFreeAsync(found, stream), "free memory");
  check_cuda(cudaStreamSynchronize(stream), "tell where it reaches other GPUs");
  return reach;
}

}  // namespace pikv::comm
