#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <utility>

#include "kernels/cuda/check.cuh"
#include "kernels/cuda/stream.hpp"

namespace pikv::kernels::cuda {

/// Queues kernel<<<blocks, threads, shared_bytes, queue>>>(arguments...); `what` names it where it fails.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 blocks, dim3 threads, std::size_t shared_bytes, CUstream_st* queue, char const* what,
            Arguments&&... arguments) {
  constexpr std::size_t granted = 48 * 1024;
  if (shared_bytes > granted)
    check(cudaFuncSetAttribute(reinterpret_cast<void const*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)),
          what);
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = queue;
  check(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...), what);
}

}  // namespace pikv::kernels::cuda
