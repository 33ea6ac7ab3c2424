#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "comm/device_memory.hpp"
#include "comm/error.hpp"

namespace pikv::comm {
namespace {

void check_cuda(cudaError_t result, std::string const& what) {
  if (result != cudaSuccess) throw RunError(fmt::format("the GPU could not {}: {}", what, cudaGetErrorString(result)));
}

/// Its own stream waits for no kernel, and every thread that calls is put on its device first: a new thread begins on device 0.
class CudaMemory : public DeviceMemory {
 public:
  CudaMemory() {
    absent_ = cudaGetDevice(&gpu_);
    if (absent_ == cudaSuccess) absent_ = cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
  }

  std::string why_absent() const override {
    if (absent_ == cudaSuccess) return {};
    return fmt::format("CUDA finds no GPU for it ({}); run where nvidia-smi shows one", cudaGetErrorString(absent_));
  }
  bool is_cuda() const override { return true; }

  std::byte* allocate(std::size_t bytes) override {
    choose();
    void* device = nullptr;
    check_cuda(cudaMalloc(&device, bytes), fmt::format("allocate {} bytes", bytes));
    check_cuda(cudaMemsetAsync(device, 0, bytes, stream_), "clear its memory");
    check_cuda(cudaStreamSynchronize(stream_), "clear its memory");
    return static_cast<std::byte*>(device);
  }
  void free(std::byte* device) noexcept override { cudaFree(device); }

  void pin(std::span<std::byte> host) override {
    choose();
    check_cuda(cudaHostRegister(host.data(), host.size(), cudaHostRegisterPortable), fmt::format("pin {} bytes of host memory", host.size()));
  }
  void unpin(std::byte* host) noexcept override { cudaHostUnregister(host); }

  void copy_in(std::byte* device, std::span<std::byte const> host) override { copy(device, host.data(), host.size(), cudaMemcpyHostToDevice); }
  void copy_out(std::span<std::byte> host, std::byte const* device) override { copy(host.data(), device, host.size(), cudaMemcpyDeviceToHost); }

 private:
  void choose() const { check_cuda(cudaSetDevice(gpu_), "be chosen"); }
  void copy(void* to, void const* from, std::size_t bytes, cudaMemcpyKind kind) const {
    choose();
    check_cuda(cudaMemcpyAsync(to, from, bytes, kind, stream_), "copy to or from host memory");
    check_cuda(cudaStreamSynchronize(stream_), "copy to or from host memory");
  }

  int gpu_ = 0;
  cudaError_t absent_ = cudaSuccess;
  cudaStream_t stream_ = nullptr;   // until the process ends
};

}  // namespace

DeviceMemory& gpu_memory() {
  static CudaMemory gpu;
  return gpu;
}

std::optional<GpusFound> gpus_found() {
  int count = 0;
  cudaError_t const result = cudaGetDeviceCount(&count);
  if (result == cudaSuccess) return GpusFound{count, {}};
  return GpusFound{0, result == cudaErrorNoDevice ? "" : cudaGetErrorString(result)};
}

std::string cuda_version() {
  int version = 0;
  check_cuda(cudaRuntimeGetVersion(&version), "say CUDA's version");
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

}  // namespace pikv::comm
