#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/scalars.cuh"
#include "kernels/cuda/stream.hpp"
#include "kernels/cuda/warp.cuh"
#include "kernels/summary.hpp"

namespace pikv::kernels::cuda {
namespace {

constexpr int threads = 128, warps = threads / warp;

/// One block per (page, KV head), a thread per channel. Bytes: each key once, 8 written per channel. Operations: 3 per key scalar.
/// Limit: memory bandwidth; for the one page a sequence fills in a step, latency of `tokens` loads.
template <class Scalar>
__global__ void __launch_bounds__(threads) sum_up(PoolView pool, int const* slots, int const* tokens, int const* rows, SummaryOut out) {
  PageLayout const layout = pool.layout;
  int const page = static_cast<int>(blockIdx.x), head = static_cast<int>(blockIdx.y), d = layout.head_dim, filled = tokens[page];
  auto const* const keys = reinterpret_cast<typename Scalar::Stored const*>(pool.keys(slots[page])) + head * layout.head_scalars();
  std::size_t const to = (static_cast<std::size_t>(rows[page]) * layout.kv_heads + head) * d;
  for (int channel = static_cast<int>(threadIdx.x); channel < d; channel += threads) {
    float lo = Scalar::value(keys[channel]), hi = lo, sum = lo;
    for (int token = 1; token < filled; ++token) {
      float const key = Scalar::value(keys[static_cast<std::size_t>(token) * d + channel]);
      lo = key < lo ? key : lo;
      hi = hi < key ? key : hi;
      sum += key;
    }
    out.lo[to + channel] = to_bf16_below(lo);
    out.hi[to + channel] = to_bf16_above(hi);
    out.mean[to + channel] = sum / static_cast<float>(filled);
  }
}

/// The end of each channel's box that gives the larger product.
struct Box {
  unsigned short const *lo, *hi;
  __device__ float times(float q, std::size_t i) const { return q * from_bf16(q < 0 ? lo[i] : hi[i]); }
};
struct Mean {
  float const* mean;
  __device__ float times(float q, std::size_t i) const { return q * mean[i]; }
};

/// One warp per (page, query head); the query heads of a KV head meet its row in the cache. Bytes: 4 per channel and KV head of a page, 4 per result;
/// the queries come from the cache. Multiply-adds: head_dim per result. Limit: memory bandwidth for few query heads per KV head, else load
/// instructions.
template <class Row>
__global__ void __launch_bounds__(threads) score_pages(Row row, int const* pages, float const* q, int q_heads, int kv_heads, int d, float* out) {
  int const head = static_cast<int>(blockIdx.y) * warps + static_cast<int>(threadIdx.x) / warp;
  if (head >= q_heads) return;
  std::size_t const at = (static_cast<std::size_t>(pages[blockIdx.x]) * kv_heads + head / (q_heads / kv_heads)) * d;
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x) % warp; i < d; i += warp) sum += row.times(q[static_cast<std::size_t>(head) * d + i], at + i);
  sum = sum_of_warp(sum);
  if (threadIdx.x % warp == 0) out[static_cast<std::size_t>(blockIdx.x) * q_heads + head] = sum;
}

template <class Row>
void score(Row row, SummaryView const& summaries, std::span<std::int32_t const> pages, float const* q, std::int32_t q_heads, float* out,
           Stream& stream, char const* what) {
  CUstream_st* const queue = handle_of(stream);
  if (pages.empty()) return;
  dim3 const blocks(static_cast<unsigned>(pages.size()), static_cast<unsigned>((q_heads + warps - 1) / warps));
  launch(score_pages<Row>, blocks, threads, 0, queue, what, row, pages.data(), q, q_heads, summaries.kv_heads, summaries.head_dim, out);
}

}  // namespace

void summarise(PoolView const& pool, std::int32_t const* slots, std::int32_t const* tokens, std::int32_t const* rows, std::int32_t pages,
               SummaryOut out, Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (pages == 0) return;
  dim3 const blocks(static_cast<unsigned>(pages), static_cast<unsigned>(pool.layout.kv_heads));
  with_scalar(pool.layout.dtype,
              [&](auto scalar) { launch(sum_up<decltype(scalar)>, blocks, threads, 0, queue, "cuda::summarise", pool, slots, tokens, rows, out); });
}

void upper_bounds(SummaryView const& summaries, std::span<std::int32_t const> pages, float const* q, std::int32_t q_heads, float* out,
                  Stream& stream) {
  score(Box{summaries.lo, summaries.hi}, summaries, pages, q, q_heads, out, stream, "cuda::upper_bounds");
}

void mean_logits(SummaryView const& summaries, std::span<std::int32_t const> pages, float const* q, std::int32_t q_heads, float* out,
                 Stream& stream) {
  score(Mean{summaries.mean}, summaries, pages, q, q_heads, out, stream, "cuda::mean_logits");
}

}  // namespace pikv::kernels::cuda
