#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/stream.hpp"
#include "kernels/rows.hpp"

namespace pikv::kernels::cuda {
namespace {

constexpr int threads = 256;

/// One block per row. Bytes: 8 per scalar. Limit: the launch for the rows of a decoding step, memory bandwidth for many.
__global__ void __launch_bounds__(threads) gather_listed(float const* const* from, int n, float* out) {
  float const* const row = from[blockIdx.x];
  float* const to = out + std::size_t{blockIdx.x} * n;
  for (int c = static_cast<int>(threadIdx.x); c < n; c += threads) to[c] = row[c];
}

/// One block per row, one thread per column. Bytes: 8 + 4k per scalar. Limit: the launch for the rows of a decoding step, memory bandwidth for many.
__global__ void __launch_bounds__(threads) add_listed(float* x, float const* weights, float const* const* y, int k, int n) {
  std::size_t const first = std::size_t{blockIdx.x} * k;
  float* const to = x + std::size_t{blockIdx.x} * n;
  for (int c = static_cast<int>(threadIdx.x); c < n; c += threads) {
    float sum = to[c];
    for (int i = 0; i < k; ++i) sum = __fadd_rn(sum, __fmul_rn(weights[first + i], y[first + i][c]));   // else one rounding, and not the host's sums
    to[c] = sum;
  }
}

}  // namespace

void gather_rows(float const* const* from, std::int32_t count, std::int32_t n, float* out, Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (count == 0) return;
  launch(gather_listed, static_cast<unsigned>(count), threads, 0, queue, "cuda::gather_rows", from, n, out);
}

void add_weighted(float* x, float const* weights, float const* const* y, std::int32_t rows, std::int32_t k, std::int32_t n, Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (rows == 0) return;
  launch(add_listed, static_cast<unsigned>(rows), threads, 0, queue, "cuda::add_weighted", x, weights, y, k, n);
}

}  // namespace pikv::kernels::cuda
