#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace pikv::kernels::cuda {

inline void check(cudaError_t result, char const* what) {
  if (result == cudaSuccess) return;
  bool const no_gpu_for_it = result == cudaErrorNoDevice || result == cudaErrorInsufficientDriver || result == cudaErrorNoKernelImageForDevice;
  throw std::runtime_error(std::string{what} + " failed: " + cudaGetErrorString(result) +
                           (no_gpu_for_it ? "; run on a GPU that this build has code for, or without CUDA" : ""));
}

}   // namespace pikv::kernels::cuda
