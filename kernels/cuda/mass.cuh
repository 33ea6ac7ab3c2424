#pragma once

#include <cuda_runtime.h>

namespace pikv::kernels::cuda {

/// exp(top - of_all), what a part with that maximum counts in the whole.
__device__ inline float share_of(float top, float of_all) { return top == -INFINITY ? 0.0f : expf(top - of_all); }

/// Running maximum and sum of exponentials.
struct Mass {
  float top = -INFINITY, sum = 0;

  /// The factor by which what was summed before has shrunk.
  __device__ float raise_to(float logit) {
    float const higher = fmaxf(top, logit), factor = share_of(top, higher);
    top = higher;
    sum *= factor;
    return factor;
  }
  __device__ float add(float logit) {
    float const weight = share_of(logit, top);
    sum += weight;
    return weight;
  }
};

}  // namespace pikv::kernels::cuda
