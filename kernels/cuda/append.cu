#include "kernels/append.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/scalars.cuh"
#include "kernels/cuda/stream.hpp"

namespace pikv::kernels::cuda {
namespace {

constexpr int threads = 128;

/// One block per (row, KV head). Bytes: 8 read and two stored scalars per channel, 8 of the lists per block. Limit: memory bandwidth, or the launch.
template <class Scalar>
__global__ void __launch_bounds__(threads) store_rows(PoolView pool, int const* slots, int const* at, float const* k, float const* v) {
  PageLayout const layout = pool.layout;
  int const row = static_cast<int>(blockIdx.x), head = static_cast<int>(blockIdx.y), d = layout.head_dim, slot = slots[row];
  std::size_t const from = (static_cast<std::size_t>(row) * layout.kv_heads + head) * d;
  std::size_t const to = head * layout.head_scalars() + static_cast<std::size_t>(at[row]) * d;
  auto* const keys = reinterpret_cast<typename Scalar::Stored*>(pool.keys(slot)) + to;
  auto* const values = reinterpret_cast<typename Scalar::Stored*>(pool.values(slot)) + to;
  for (int i = static_cast<int>(threadIdx.x); i < d; i += threads) {
    keys[i] = Scalar::stored(k[from + i]);
    values[i] = Scalar::stored(v[from + i]);
  }
}

}  // namespace

void append(PoolView const& pool, std::int32_t const* slots, std::int32_t const* at, float const* k, float const* v, std::int32_t rows,
            Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (rows == 0) return;
  dim3 const blocks(static_cast<unsigned>(rows), static_cast<unsigned>(pool.layout.kv_heads));
  with_scalar(pool.layout.dtype,
              [&](auto scalar) { launch(store_rows<decltype(scalar)>, blocks, threads, 0, queue, "cuda::append", pool, slots, at, k, v); });
}

}  // namespace pikv::kernels::cuda
