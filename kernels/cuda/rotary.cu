#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/stream.hpp"
#include "kernels/rotary.hpp"

namespace pikv::kernels::cuda {
namespace {

constexpr int threads = 64;

/// One block per row. Once per step: bits matter more than speed, so the power is taken in fp64 and rounded, and the angle is what the host finds.
/// Bytes: 4 per pair and table. Limit: arithmetic in fp64, and the launch.
__global__ void __launch_bounds__(threads) fill_table(int const* positions, int half, float theta, float* cos_of, float* sin_of) {
  auto const position = static_cast<float>(positions[blockIdx.x]);
  for (int i = static_cast<int>(threadIdx.x); i < half; i += threads) {
    float const exponent = static_cast<float>(2 * i) / static_cast<float>(2 * half);
    float const inverse_frequency = 1.0f / static_cast<float>(pow(static_cast<double>(theta), static_cast<double>(exponent)));
    std::size_t const at = static_cast<std::size_t>(blockIdx.x) * half + i;
    float const angle = position * inverse_frequency;
    cos_of[at] = cosf(angle);
    sin_of[at] = sinf(angle);
  }
}

/// One block per (row, head). Bytes: 16 per pair, and 8 of the row's table, which its heads share in the cache. Multiply-adds: 4 per pair.
/// Limit: memory bandwidth, or the launch.
__global__ void __launch_bounds__(threads) turn_heads(float* x, float const* cos_of, float const* sin_of, int half) {
  float* const low_half = x + (static_cast<std::size_t>(blockIdx.x) * gridDim.y + blockIdx.y) * 2 * half;
  float* const high_half = low_half + half;
  for (int i = static_cast<int>(threadIdx.x); i < half; i += threads) {
    std::size_t const at = static_cast<std::size_t>(blockIdx.x) * half + i;
    float const low = low_half[i], high = high_half[i];
    low_half[i] = low * cos_of[at] - high * sin_of[at];
    high_half[i] = high * cos_of[at] + low * sin_of[at];
  }
}

}  // namespace

void rotary_table(std::int32_t const* positions, std::int32_t rows, std::int32_t d, float theta, float* cos, float* sin, Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (rows == 0) return;
  launch(fill_table, static_cast<unsigned>(rows), threads, 0, queue, "cuda::rotary_table", positions, d / 2, theta, cos, sin);
}

void rotary(float* x, float const* cos, float const* sin, std::int32_t rows, std::int32_t heads, std::int32_t d, Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (rows * heads == 0) return;
  launch(turn_heads, dim3(static_cast<unsigned>(rows), static_cast<unsigned>(heads)), threads, 0, queue, "cuda::rotary", x, cos, sin, d / 2);
}

}  // namespace pikv::kernels::cuda
