#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace pikv::kernels::cuda {

inline void check(cudaError_t result, char const* what) {
  if (result != cudaSuccess)
    throw std::runtime_error(std::string{what} + " failed: " + cudaGetErrorString(result) +
                             "; run on a GPU that this build has code for, or without CUDA");
}

}   // namespace pikv::kernels::cuda
