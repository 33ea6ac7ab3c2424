#include <fmt/format.h>

#include "comm/error.hpp"
#include "comm/nccl.hpp"
#include "comm/nccl_window_calls.hpp"

namespace pikv::comm {
namespace {

/// A window wants memory whose handle other processes can open (docs/userguide/source/usage/bufferreg.rst), which cudaMalloc's is not.
class WindowMemory : public DeviceMemory {
 public:
  std::string why_absent() const override { return gpu_.why_absent(); }
  bool is_cuda() const override { return false; }   // UCX before 1.17 takes all device memory for cudaMalloc's
  std::byte* allocate(std::size_t bytes) override {
    void* device = nullptr;
    ncclResult_t const result = ncclMemAlloc(&device, bytes);
    if (result != ncclSuccess)
      throw RunError(fmt::format("NCCL could not allocate {} bytes of the GPU's memory: {}", bytes, ncclGetErrorString(result)));
    cudaError_t cleared = cudaMemset(device, 0, bytes);
    if (cleared == cudaSuccess) cleared = cudaDeviceSynchronize();
    if (cleared != cudaSuccess) throw RunError(fmt::format("the GPU could not clear its memory: {}", cudaGetErrorString(cleared)));
    return static_cast<std::byte*>(device);
  }
  void free(std::byte* device) noexcept override { ncclMemFree(device); }
  void pin(std::span<std::byte> host) override { gpu_.pin(host); }
  void unpin(std::byte* host) noexcept override { gpu_.unpin(host); }
  void copy_in(std::byte* device, std::span<std::byte const> host) override { gpu_.copy_in(device, host); }
  void copy_out(std::span<std::byte> host, std::byte const* device) override { gpu_.copy_out(host, device); }

 private:
  DeviceMemory& gpu_ = gpu_memory();
};

}  // namespace

DeviceMemory& nccl_memory() {
  static WindowMemory memory;
  return memory;
}

ncclResult_t begin_nccl_window(ncclComm_t comm, std::span<std::byte> memory, void** window) {
  *window = nullptr;
  return ncclCommWindowRegister(comm, memory.data(), memory.size(), reinterpret_cast<ncclWindow_t*>(window), NCCL_WIN_COLL_SYMMETRIC);
}

ncclResult_t end_nccl_window(ncclComm_t comm, void* window) { return ncclCommWindowDeregister(comm, static_cast<ncclWindow_t>(window)); }

}  // namespace pikv::comm
