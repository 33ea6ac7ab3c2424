#pragma once

#include <cuda_runtime.h>

namespace pikv::kernels::cuda {

inline constexpr int warp = 32;
inline constexpr unsigned all_lanes = 0xFFFFFFFFu;

/// The sum over the lanes of a warp, all of which call it, in every lane.
__device__ inline float sum_of_warp(float x) {
  for (int step = warp / 2; step > 0; step /= 2) x += __shfl_xor_sync(all_lanes, x, step);
  return x;
}

}  // namespace pikv::kernels::cuda
