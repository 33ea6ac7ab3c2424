#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/stream.hpp"
#include "kernels/swiglu.hpp"

namespace pikv::kernels::cuda {
namespace {

constexpr int threads = 256;

/// One thread per scalar. Bytes: 12 per scalar. One exponential and one division per scalar. Limit: memory bandwidth, or the launch.
__global__ void __launch_bounds__(threads) gate_scalars(float* gate, float const* up, std::size_t count) {
  std::size_t const i = std::size_t{blockIdx.x} * threads + threadIdx.x;
  if (i < count) gate[i] = gate[i] / (1 + expf(-gate[i])) * up[i];
}

}  // namespace

void swiglu(float* gate, float const* up, std::size_t count, Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (count == 0) return;
  launch(gate_scalars, static_cast<unsigned>((count + threads - 1) / threads), threads, 0, queue, "cuda::swiglu", gate, up, count);
}

}  // namespace pikv::kernels::cuda
