#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/stream.hpp"
#include "kernels/cuda/warp.cuh"
#include "kernels/norm.hpp"

namespace pikv::kernels::cuda {
namespace {

constexpr int threads = 256, warps = threads / warp;

/// One block per row, read twice, the second time from the cache. Bytes: 8 per scalar and the weights from the cache. Multiply-adds: 3 per scalar.
/// Limit: the launch for the rows of a decoding step, memory bandwidth for many.
__global__ void __launch_bounds__(threads) normalise_rows(float const* x, float const* weight, float eps, float* y, int n) {
  __shared__ float of_warp[warps];
  std::size_t const row = static_cast<std::size_t>(blockIdx.x) * n;
  float squares = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += threads) squares += x[row + i] * x[row + i];
  squares = sum_of_warp(squares);
  if (threadIdx.x % warp == 0) of_warp[threadIdx.x / warp] = squares;
  __syncthreads();
  float sum = 0;
  for (float const of_one : of_warp) sum += of_one;
  float const factor = 1 / sqrtf(sum / static_cast<float>(n) + eps);
  for (int i = static_cast<int>(threadIdx.x); i < n; i += threads) y[row + i] = x[row + i] * factor * weight[i];   // y may be x
}

/// One thread per scalar. Bytes: 12 per scalar. Limit: memory bandwidth, or the launch.
__global__ void __launch_bounds__(threads) add_scalars(float* y, float const* x, std::size_t count) {
  std::size_t const i = std::size_t{blockIdx.x} * threads + threadIdx.x;
  if (i < count) y[i] += x[i];
}

}  // namespace

void rms_norm(float const* x, float const* weight, float eps, float* y, std::int32_t rows, std::int32_t n, Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (rows == 0) return;
  launch(normalise_rows, static_cast<unsigned>(rows), threads, 0, queue, "cuda::rms_norm", x, weight, eps, y, n);
}

void add(float* y, float const* x, std::size_t count, Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (count == 0) return;
  launch(add_scalars, static_cast<unsigned>((count + threads - 1) / threads), threads, 0, queue, "cuda::add", y, x, count);
}

}  // namespace pikv::kernels::cuda
