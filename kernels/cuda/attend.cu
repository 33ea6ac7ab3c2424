#include <cuda_fp16.h>
#include <dynamic_shared.cuh>

#include "kernels/attend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/stream.hpp"

namespace pikv::kernels::cuda {
namespace {

constexpr int warp = 32, warps = 8, tile_keys = warp;
constexpr unsigned all_lanes = 0xFFFFFFFFu;

__device__ float load(DType type, std::byte const* data, std::size_t at) {
  if (type == DType::f32) return reinterpret_cast<float const*>(data)[at];
  if (type == DType::bf16) return __uint_as_float(static_cast<unsigned>(reinterpret_cast<unsigned short const*>(data)[at]) << 16);
  return __half2float(reinterpret_cast<__half const*>(data)[at]);
}

__device__ float warp_max(float x) {
  for (int step = warp / 2; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(all_lanes, x, step));
  return x;
}

__device__ float warp_sum(float x) {
  for (int step = warp / 2; step > 0; step /= 2) x += __shfl_xor_sync(all_lanes, x, step);
  return x;
}

/// log(exp(lse) + sum * exp(top)); -inf stands for nothing.
__device__ float add_to_lse(float lse, float top, float sum) {
  float const high = fmaxf(lse, top);
  return high == -INFINITY ? high : high + logf(expf(lse - high) + sum * expf(top - high));
}

struct Job {
  PoolView pool;
  AttendPlan plan;
  float const* q;
  int q_heads;
  float scale;
  PartialView out;
  float* page_lse;
};

/// A warp adds a tile of keys to one (row, query head): a lane per key for the logits, a lane per column for the sums. Keys are padded by one
/// column so that the lanes hit different banks.
__device__ void add_tile(Job const& job, float const* keys, float const* values, int count, int first_position, int row, std::size_t at, float* lse) {
  int const d = job.pool.layout.head_dim, lane = static_cast<int>(threadIdx.x) % warp;
  float const* q = job.q + at * d;
  float logit = -INFINITY;
  if (lane < count && first_position + lane <= job.plan.row_position[row]) {
    logit = 0;
    for (int i = 0; i < d; ++i) logit += q[i] * keys[lane * (d + 1) + i];
    logit *= job.scale;
  }
  float const tile_top = warp_max(logit);
  if (tile_top == -INFINITY) return;
  if (lse) {
    float const tile_sum = warp_sum(expf(logit - tile_top));
    if (lane == 0) *lse = add_to_lse(*lse, tile_top, tile_sum);
  }
  float const before = job.out.max[at], top = fmaxf(before, tile_top), correction = expf(before - top);
  float const weight = expf(logit - top), weights = warp_sum(weight);
  for (int first = 0; first < d; first += warp) {   // whole warps, since lanes pass their weights around
    int const i = first + lane;
    float sum = i < d ? correction * job.out.sum[at * d + i] : 0.0f;
    for (int key = 0; key < count; ++key) {
      float const w = __shfl_sync(all_lanes, weight, key);
      if (i < d) sum += w * values[key * d + i];
    }
    if (i < d) job.out.sum[at * d + i] = sum;
  }
  __syncwarp();
  if (lane == 0) {
    job.out.max[at] = top;
    job.out.denom[at] = correction * job.out.denom[at] + weights;
  }
  __syncwarp();
}

/// One block per (group, KV head): keys and values come to shared memory as fp32 once, a tile at a time, for all rows and query heads.
__global__ void attend_group(Job job) {
  auto* const shared = dynamic_shared<float>();
  PageLayout const layout = job.pool.layout;
  int const d = layout.head_dim, group = static_cast<int>(blockIdx.x), kv_head = static_cast<int>(blockIdx.y), share = job.q_heads / layout.kv_heads;
  int const row_begin = job.plan.row_offsets[group], rows = job.plan.row_offsets[group + 1] - row_begin;
  int const page_begin = job.plan.page_offsets[group], page_end = job.plan.page_offsets[group + 1];
  int const my_warp = static_cast<int>(threadIdx.x) / warp, lane = static_cast<int>(threadIdx.x) % warp;
  float *keys = shared, *values = shared + tile_keys * (d + 1);

  std::size_t group_lse = 0;
  for (int g = 0; g < group; ++g)
    group_lse += static_cast<std::size_t>(job.plan.row_offsets[g + 1] - job.plan.row_offsets[g]) *
                 (job.plan.page_offsets[g + 1] - job.plan.page_offsets[g]) * job.q_heads;
  auto const row_of = [&](int record) { return row_begin + record / share; };
  auto const at_of = [&](int record) { return static_cast<std::size_t>(row_of(record)) * job.q_heads + kv_head * share + record % share; };
  auto const lse_of = [&](int page, int record) {
    std::size_t const page_row = static_cast<std::size_t>(page - page_begin) * rows + record / share;
    return job.page_lse ? job.page_lse + group_lse + page_row * job.q_heads + kv_head * share + record % share : nullptr;
  };

  for (int record = my_warp; record < rows * share; record += warps) {
    for (int i = lane; i < d; i += warp) job.out.sum[at_of(record) * d + i] = 0;
    if (lane > 0) continue;
    job.out.max[at_of(record)] = -INFINITY;
    job.out.denom[at_of(record)] = 0;
    for (int page = page_begin; job.page_lse && page < page_end; ++page) *lse_of(page, record) = -INFINITY;
  }
  for (int page = page_begin; page < page_end; ++page) {
    for (int token = 0; token < job.plan.tokens[page]; token += tile_keys) {
      int const count = min(tile_keys, job.plan.tokens[page] - token);
      std::size_t const from = kv_head * layout.head_scalars() + static_cast<std::size_t>(token) * d;
      __syncthreads();   // the last tile is done with
      for (int i = static_cast<int>(threadIdx.x); i < count * d; i += warps * warp) {
        keys[i / d * (d + 1) + i % d] = load(layout.dtype, job.pool.keys(job.plan.slots[page]), from + i);
        values[i] = load(layout.dtype, job.pool.values(job.plan.slots[page]), from + i);
      }
      __syncthreads();
      for (int record = my_warp; record < rows * share; record += warps)
        add_tile(job, keys, values, count, job.plan.first_position[page] + token, row_of(record), at_of(record), lse_of(page, record));
    }
  }
}

}  // namespace

void attend(PoolView const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse,
            Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (plan.groups == 0) return;
  auto const d = static_cast<std::size_t>(pool.layout.head_dim);
  std::size_t const shared_bytes = tile_keys * (2 * d + 1) * sizeof(float);
  dim3 const blocks(static_cast<unsigned>(plan.groups), static_cast<unsigned>(pool.layout.kv_heads));
  launch(attend_group, blocks, warps * warp, shared_bytes, queue, "cuda::attend", Job{pool, plan, q, q_heads, scale, out, page_lse});
}

}  // namespace pikv::kernels::cuda
