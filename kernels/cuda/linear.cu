#include <cstring>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear.cuh"
#include "kernels/cuda/scalars.cuh"
#include "kernels/cuda/stream.hpp"
#include "kernels/cuda/warp.cuh"

namespace pikv::kernels::cuda {
namespace {

constexpr int warps = 8, load_bytes = 16;
constexpr int row_tile = 32, out_tile = 64, depth = 16, each_way = 4, tile_threads = row_tile * out_tile / (each_way * each_way);

/// One warp per output, 16 bytes of weights per lane and load where they are aligned (`whole`). Bytes: the weights once; x from the cache, once per
/// output. Multiply-adds: `rows` per weight. Limit: memory bandwidth (8 rows: 4 multiply-adds a byte at 16 bits). A row's sum does not depend on
/// others.
template <class Scalar, bool whole>
__global__ void __launch_bounds__(warps* warp) multiply_few(float const* x, void const* weights, float* y, int rows, int out, int in) {
  using Stored = typename Scalar::Stored;
  constexpr int each = load_bytes / static_cast<int>(sizeof(Stored));
  int const o = static_cast<int>(blockIdx.x) * warps + static_cast<int>(threadIdx.x) / warp, lane = static_cast<int>(threadIdx.x) % warp;
  if (o >= out) return;
  auto const* const w = static_cast<Stored const*>(weights) + static_cast<std::size_t>(o) * in;
  float sum[few_rows] = {};
  for (int first = lane * each; first < in; first += warp * each) {
    Stored stored[each] = {};
    if (whole) {
      uint4 const bits = *reinterpret_cast<uint4 const*>(w + first);
      memcpy(static_cast<void*>(stored), &bits, sizeof(bits));
    } else {
      for (int i = 0; i < each; ++i)
        if (first + i < in) stored[i] = w[first + i];
    }
#pragma unroll   // so that sum stays in registers
    for (int r = 0; r < few_rows; ++r) {
      if (r >= rows) break;
      float const* const of_row = x + static_cast<std::size_t>(r) * in + first;
      for (int i = 0; i < each; ++i)
        if (whole || first + i < in) sum[r] += of_row[i] * Scalar::value(stored[i]);
    }
  }
#pragma unroll
  for (int r = 0; r < few_rows; ++r) {
    if (r >= rows) break;
    float const whole_sum = sum_of_warp(sum[r]);
    if (lane == 0) y[static_cast<std::size_t>(r) * out + o] = whole_sum;
  }
}

/// One block per 32 rows and 64 outputs, 4 x 4 sums per thread. Bytes: the weights once per 32 rows and x once per 64 outputs, most from the cache.
/// Multiply-adds: rows * out * in. Limit: arithmetic and the loads of shared memory, two of 16 bytes per 16 multiply-adds.
template <class Scalar>
__global__ void __launch_bounds__(tile_threads) multiply_tiles(float const* x, void const* weights, float* y, int rows, int out, int in) {
  __shared__ __align__(16) float x_tile[depth][row_tile];
  __shared__ __align__(16) float w_tile[depth][out_tile];
  auto const* const w = static_cast<typename Scalar::Stored const*>(weights);
  int const thread = static_cast<int>(threadIdx.x), first_out = static_cast<int>(blockIdx.x) * out_tile,
            first_row = static_cast<int>(blockIdx.y) * row_tile;
  int const my_out = thread % (out_tile / each_way) * each_way, my_row = thread / (out_tile / each_way) * each_way;
  float sum[each_way][each_way] = {};
  for (int first = 0; first < in; first += depth) {
    for (int i = thread; i < row_tile * depth; i += tile_threads) {
      int const row = first_row + i / depth, column = first + i % depth;
      x_tile[i % depth][i / depth] = row < rows && column < in ? x[static_cast<std::size_t>(row) * in + column] : 0.0f;
    }
    for (int i = thread; i < out_tile * depth; i += tile_threads) {
      int const o = first_out + i / depth, column = first + i % depth;
      w_tile[i % depth][i / depth] = o < out && column < in ? Scalar::value(w[static_cast<std::size_t>(o) * in + column]) : 0.0f;
    }
    __syncthreads();   // the tiles are there
    for (int at = 0; at < depth; ++at) {
      float4 const a = *reinterpret_cast<float4 const*>(&x_tile[at][my_row]), b = *reinterpret_cast<float4 const*>(&w_tile[at][my_out]);
      float const of_rows[] = {a.x, a.y, a.z, a.w}, of_outs[] = {b.x, b.y, b.z, b.w};
#pragma unroll
      for (int r = 0; r < each_way; ++r)
#pragma unroll
        for (int o = 0; o < each_way; ++o) sum[r][o] += of_rows[r] * of_outs[o];
    }
    __syncthreads();   // the tiles may change
  }
  for (int r = 0; r < each_way; ++r)
    for (int o = 0; o < each_way; ++o)
      if (first_row + my_row + r < rows && first_out + my_out + o < out)
        y[static_cast<std::size_t>(first_row + my_row + r) * out + first_out + my_out + o] = sum[r][o];
}

bool is_aligned(void const* at) { return reinterpret_cast<std::uintptr_t>(at) % load_bytes == 0; }

}  // namespace

void linear(float const* x, MatrixView const& w, float* y, std::int32_t rows, Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (rows == 0 || w.out == 0) return;
  if (rows > few_rows) return many_rows(x, w, y, rows, stream);
  bool const whole = is_aligned(w.data) && static_cast<std::size_t>(w.in) * size_of(w.dtype) % load_bytes == 0;
  auto const blocks = static_cast<unsigned>((w.out + warps - 1) / warps);
  with_scalar(w.dtype, [&](auto scalar) {
    using Scalar = decltype(scalar);
    launch(whole ? multiply_few<Scalar, true> : multiply_few<Scalar, false>, blocks, warps * warp, 0, queue, "cuda::linear", x, w.data, y, rows,
           w.out, w.in);
  });
}

void linear_tiled(float const* x, MatrixView const& w, float* y, std::int32_t rows, Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (rows == 0 || w.out == 0) return;
  dim3 const blocks(static_cast<unsigned>((w.out + out_tile - 1) / out_tile), static_cast<unsigned>((rows + row_tile - 1) / row_tile));
  with_scalar(w.dtype, [&](auto scalar) {
    launch(multiply_tiles<decltype(scalar)>, blocks, tile_threads, 0, queue, "cuda::linear_tiled", x, w.data, y, rows, w.out, w.in);
  });
}

}  // namespace pikv::kernels::cuda
