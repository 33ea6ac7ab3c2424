// The CUDA runtime's functions, as far as we call them, over the emulated device. All work is done when a call returns, but for copies with pinned memory.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <string>

#include "kernels/emulation/block.hpp"
#include "kernels/emulation/block_run.cuh"
#include "kernels/emulation/copies.hpp"
#include "kernels/emulation/launch.cuh"
#include "kernels/emulation/memory.hpp"

namespace pikv::kernels::emulation {
namespace {

constexpr std::size_t granted_shared_bytes = 48 * 1024;

std::recursive_mutex device_mutex;
std::string last_report = "an emulated kernel failed";
cudaError_t last_error = cudaSuccess;
std::map<void const*, std::size_t> shared_limits;   // raised by cudaFuncSetAttribute
std::size_t most_pinned = std::numeric_limits<std::size_t>::max();

cudaError_t fail(cudaError_t error, std::string const& what) {
  last_report = what;
  return last_error = error;
}

std::string wrong_shape(cudaLaunchConfig_t const& config, void const* kernel) {
  auto const& [x, y, z] = config.gridDim;
  std::size_t const threads = std::size_t{config.blockDim.x} * config.blockDim.y * config.blockDim.z;
  if (std::size_t{x} * y * z == 0 || x > 0x7FFFFFFFu || y > 65535 || z > 65535) return fmt::format("a grid of {} x {} x {} blocks", x, y, z);
  if (threads == 0 || threads > most_threads) return fmt::format("a block of {} threads", threads);
  auto const raised = shared_limits.find(kernel);
  std::size_t const limit = raised == shared_limits.end() ? granted_shared_bytes : raised->second;
  if (config.dynamicSmemBytes > limit) return fmt::format("{} bytes of dynamic shared memory, where {} are granted", config.dynamicSmemBytes, limit);
  return {};
}

}  // namespace

cudaError_t run_grid(cudaLaunchConfig_t const& config, void const* kernel, void (*call)(void const*), void const* arguments,
                     std::size_t argument_bytes) {
  std::scoped_lock const lock{device_mutex};
  if (std::string const wrong = wrong_shape(config, kernel); !wrong.empty()) return fail(cudaErrorInvalidConfiguration, wrong);
  BlockRun run{config.gridDim, config.blockDim, {}, config.dynamicSmemBytes, call, arguments, argument_bytes};
  Opened const opened;
  start_launch();
  for (unsigned const number : block_order(config.gridDim.x * config.gridDim.y * config.gridDim.z)) {
    run.block = {number % config.gridDim.x, number / config.gridDim.x % config.gridDim.y, number / config.gridDim.x / config.gridDim.y};
    if (std::string const trouble = run_block(run); !trouble.empty()) return fail(cudaErrorLaunchFailure, trouble);
  }
  return cudaSuccess;
}

void limit_pinned_memory(std::size_t bytes) { most_pinned = bytes; }

}  // namespace pikv::kernels::emulation

using namespace pikv::kernels::emulation;

namespace {

std::uintptr_t streams = 0;

cudaError_t waited_for(std::string const& trouble) { return trouble.empty() ? cudaSuccess : fail(cudaErrorUnknown, trouble); }

bool reaches_out(void const* at, std::size_t bytes) { return is_device(at) && bytes > 0 && !holds(at, bytes); }

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** at, std::size_t bytes) {
  std::scoped_lock const lock{device_mutex};
  *at = bytes == 0 ? nullptr : allocate_device(bytes);
  return *at || bytes == 0 ? cudaSuccess : fail(cudaErrorMemoryAllocation, "out of device memory");
}
cudaError_t cudaMallocAsync(void** at, std::size_t bytes, cudaStream_t) { return cudaMalloc(at, bytes); }
cudaError_t cudaFree(void* at) {
  std::scoped_lock const lock{device_mutex};
  return !at || free_device(at) ? cudaSuccess : fail(cudaErrorInvalidValue, "a pointer was freed that no allocation starts at");
}
cudaError_t cudaFreeAsync(void* at, cudaStream_t) { return cudaFree(at); }

cudaError_t cudaMemcpy(void* to, void const* from, std::size_t bytes, cudaMemcpyKind) {
  std::scoped_lock const lock{device_mutex};
  if (reaches_out(to, bytes)) return fail(cudaErrorInvalidValue, fmt::format("a copy writes {} bytes {}", bytes, place_on_device(to)));
  if (reaches_out(from, bytes)) return fail(cudaErrorInvalidValue, fmt::format("a copy reads {} bytes {}", bytes, place_on_device(from)));
  Opened const opened;
  if (bytes > 0) std::memmove(to, from, bytes);
  if (is_device(to)) mark_written(to, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, void const* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  std::scoped_lock const lock{device_mutex};
  if (bytes > 0 && is_device(from) && holds(from, bytes) && is_pinned(to)) {
    Opened const opened;
    copy_out_later(stream, static_cast<std::byte*>(to), static_cast<std::byte const*>(from), bytes);
    return cudaSuccess;
  }
  cudaError_t const made = cudaMemcpy(to, from, bytes, kind);
  if (made == cudaSuccess && bytes > 0 && is_device(to) && is_pinned(from)) expect_unchanged(stream, static_cast<std::byte const*>(from), bytes);
  return made;
}
cudaError_t cudaHostAlloc(void** at, std::size_t bytes, unsigned) {
  std::scoped_lock const lock{device_mutex};
  if (bytes > most_pinned) return fail(cudaErrorMemoryAllocation, "no more host memory may be pinned");
  return *at = bytes == 0 ? nullptr : allocate_pinned(bytes), cudaSuccess;
}
cudaError_t cudaFreeHost(void* at) {
  std::scoped_lock const lock{device_mutex};
  return !at || free_pinned(at) ? cudaSuccess : fail(cudaErrorInvalidValue, "a pointer was freed that no pinned host memory starts at");
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) {
  *pool = nullptr;
  return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
cudaError_t cudaMemset(void* at, int value, std::size_t bytes) {
  std::scoped_lock const lock{device_mutex};
  if (reaches_out(at, bytes)) return fail(cudaErrorInvalidValue, fmt::format("a fill writes {} bytes {}", bytes, place_on_device(at)));
  Opened const opened;
  if (bytes > 0) std::memset(at, value, bytes);
  if (is_device(at)) mark_written(at, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* at, int value, std::size_t bytes, cudaStream_t) { return cudaMemset(at, value, bytes); }

cudaError_t cudaFuncSetAttribute(void const* kernel, cudaFuncAttribute attribute, int value) {
  std::scoped_lock const lock{device_mutex};
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<std::size_t>(value) > most_shared_bytes)
    return fail(cudaErrorInvalidValue, fmt::format("{} bytes of dynamic shared memory are more than {}", value, most_shared_bytes));
  shared_limits[kernel] = static_cast<std::size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : fail(cudaErrorInvalidDevice, "there is one emulated device, number 0"); }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::memcpy(properties->uuid.bytes, "emulated device", sizeof properties->uuid.bytes);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  std::scoped_lock const lock{device_mutex};
  *free = free_device_bytes();
  *total = *free;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  std::scoped_lock const lock{device_mutex};
  return waited_for(finish_all_copies());
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  std::scoped_lock const lock{device_mutex};
  return *stream = reinterpret_cast<cudaStream_t>(++streams), cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return cudaStreamCreate(stream); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return cudaStreamSynchronize(stream); }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  std::scoped_lock const lock{device_mutex};
  return waited_for(finish_copies(stream));
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return *event = nullptr, cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaDeviceSynchronize(); }
cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaPeekAtLastError() { return last_error; }
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
char const* cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : last_report.c_str(); }
}
