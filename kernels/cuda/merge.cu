#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/stream.hpp"
#include "kernels/merge.hpp"

namespace pikv::kernels::cuda {
namespace {

constexpr int threads = 128;

/// One block per (row, head). Bytes: 12 per column and 20 per (row, head). Multiply-adds: 2 per column. Limit: memory bandwidth, or the launch.
__global__ void merge_heads(PartialView into, PartialView part, int d) {
  std::size_t const at = blockIdx.x;
  float const of_before = into.max[at], of_part = part.max[at], top = fmaxf(of_before, of_part);
  if (top == -INFINITY) return;
  float const a = expf(of_before - top), b = expf(of_part - top);
  for (std::size_t i = at * d + threadIdx.x; i < (at + 1) * d; i += threads) into.sum[i] = a * into.sum[i] + b * part.sum[i];
  __syncthreads();   // every thread has read the maximum
  if (threadIdx.x != 0) return;
  into.max[at] = top;
  into.denom[at] = a * into.denom[at] + b * part.denom[at];
}

/// One block per (row, head). Bytes: 8 per column and 4 per (row, head). One division per column. Limit: memory bandwidth, or the launch.
__global__ void finish_heads(PartialView part, float* out, int d) {
  std::size_t const at = blockIdx.x;
  float const denom = part.denom[at];
  for (std::size_t i = at * d + threadIdx.x; i < (at + 1) * d; i += blockDim.x) out[i] = denom > 0 ? part.sum[i] / denom : 0.0f;
}

}  // namespace

void merge(PartialView into, PartialView part, std::int32_t rows, std::int32_t heads, std::int32_t d, Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (rows * heads == 0) return;
  launch(merge_heads, static_cast<unsigned>(rows) * static_cast<unsigned>(heads), threads, 0, queue, "cuda::merge", into, part, d);
}

void finish(PartialView part, float* out, std::int32_t rows, std::int32_t heads, std::int32_t d, Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (rows * heads == 0) return;
  launch(finish_heads, static_cast<unsigned>(rows) * static_cast<unsigned>(heads), threads, 0, queue, "cuda::finish", part, out, d);
}

}  // namespace pikv::kernels::cuda
