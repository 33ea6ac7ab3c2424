#include <cstring>
#include <dynamic_shared.cuh>

#include "kernels/attend.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/mass.cuh"
#include "kernels/cuda/memory.hpp"
#include "kernels/cuda/scalars.cuh"
#include "kernels/cuda/stream.hpp"
#include "kernels/cuda/warp.cuh"

namespace pikv::kernels::cuda {
namespace {

constexpr int warps = 4, records_at_once = 4, keys_at_once = 4, load_bytes = 16, join_threads = 128;

struct Job {
  PoolView pool;
  AttendPlan plan;
  float const* q;
  int q_heads;
  float scale;
  PartialView out, partials;
  float* page_lse;
  int lanes;   // that share a key: a power of two
};

/// The columns of a key or value that belong to one lane: loads of `each` scalars, `lanes` loads apart. Columns beyond head_dim are 0.
template <class Scalar, int loads, bool whole>
struct Columns {
  using Stored = typename Scalar::Stored;
  static constexpr int each = load_bytes / static_cast<int>(sizeof(Stored)), count = each * loads;

  __device__ static int first(int load, int lane, int lanes) { return (load * lanes + lane) * each; }

  __device__ static void read(Stored const* row, int d, int lane, int lanes, float (&to)[count]) {
    for (int load = 0; load < loads; ++load) {
      int const column = first(load, lane, lanes);
      Stored stored[each] = {};
      if (whole) {   // rows start at multiples of 16 bytes
        if (column < d) {
          uint4 const bits = *reinterpret_cast<uint4 const*>(row + column);
          memcpy(static_cast<void*>(stored), &bits, sizeof(bits));
        }
      } else {
        for (int i = 0; i < each; ++i)
          if (column + i < d) stored[i] = row[column + i];
      }
      for (int i = 0; i < each; ++i) to[load * each + i] = Scalar::value(stored[i]);
    }
  }
};

/// One block per (part of the plan, KV head). `lanes` lanes share a key, 16 bytes each; a warp takes every fourth page, and all its rows and query
/// heads at once, four by four: a key is read from memory once for four records, and from the cache for the rest. The warps meet in shared memory.
/// Bytes: the part's keys and values of the head, and 4 (head_dim + 2) written per record. Multiply-adds: 2 head_dim per (record, key).
/// Limit: memory bandwidth up to four 16-bit records per key, arithmetic beyond.
template <class Scalar, int loads, bool whole>
__global__ void __launch_bounds__(warps * warp) attend_part(Job job) {
  using Columns = Columns<Scalar, loads, whole>;
  using Stored = typename Scalar::Stored;
  __shared__ float top_of[warps][records_at_once], denom_of[warps][records_at_once];
  auto* const sum_of = dynamic_shared<float>();   // [warps][records_at_once][d]
  PageLayout const layout = job.pool.layout;
  AttendPart const part = job.plan.split.part[blockIdx.x];
  int const d = layout.head_dim, kv_head = static_cast<int>(blockIdx.y), share = job.q_heads / layout.kv_heads, records = part.rows * share;
  int const my_warp = static_cast<int>(threadIdx.x) / warp, lane = static_cast<int>(threadIdx.x) % warp;
  int const lanes = job.lanes, keys_of_warp = warp / lanes, my_key = lane / lanes, my_columns = lane % lanes;

  for (int first_record = 0; first_record < records; first_record += records_at_once) {
    int const here = min(records_at_once, records - first_record);
    auto const row_in_part = [&](int r) { return (first_record + r) / share; };
    auto const head_of = [&](int r) { return kv_head * share + (first_record + r) % share; };
    float q[records_at_once][Columns::count] = {}, sum[records_at_once][Columns::count] = {};
    int last_position[records_at_once] = {};
    Mass mass[records_at_once], of_page[records_at_once];
#pragma unroll   // here and below: r is a constant, so that all of this stays in registers
    for (int r = 0; r < records_at_once; ++r) {
      if (r >= here) break;
      int const row = part.row_begin + row_in_part(r);
      last_position[r] = job.plan.row_position[row];
      float const* const from = job.q + (static_cast<std::size_t>(row) * job.q_heads + head_of(r)) * d;
      for (int load = 0; load < loads; ++load)
        for (int i = 0; i < Columns::each; ++i)
          if (int const column = Columns::first(load, my_columns, lanes) + i; column < d) q[r][load * Columns::each + i] = from[column];
    }

    for (int page = part.page_begin + my_warp; page < part.page_end; page += warps) {
      int const tokens = job.plan.tokens[page], position = job.plan.first_position[page];
      std::size_t const head_at = kv_head * layout.head_scalars();
      auto const* const keys = reinterpret_cast<Stored const*>(job.pool.keys(job.plan.slots[page])) + head_at;
      auto const* const values = reinterpret_cast<Stored const*>(job.pool.values(job.plan.slots[page])) + head_at;
      for (int r = 0; r < records_at_once; ++r) of_page[r] = Mass{};
      for (int first_token = 0; first_token < tokens; first_token += keys_of_warp * keys_at_once) {
        float logit[records_at_once][keys_at_once], weight[records_at_once][keys_at_once];
#pragma unroll
        for (int k = 0; k < keys_at_once; ++k) {
          int const token = first_token + k * keys_of_warp + my_key;
          float key[Columns::count] = {};
          if (token < tokens) Columns::read(keys + static_cast<std::size_t>(token) * d, d, my_columns, lanes, key);
#pragma unroll
          for (int r = 0; r < records_at_once; ++r) {
            if (r >= here) break;
            float dot = 0;
            for (int i = 0; i < Columns::count; ++i) dot += q[r][i] * key[i];
            for (int step = lanes / 2; step > 0; step /= 2) dot += __shfl_xor_sync(all_lanes, dot, step);
            logit[r][k] = token < tokens && position + token <= last_position[r] ? dot * job.scale : -INFINITY;
          }
        }
#pragma unroll
        for (int r = 0; r < records_at_once; ++r) {
          if (r >= here) break;
          float top = logit[r][0];
          for (int k = 1; k < keys_at_once; ++k) top = fmaxf(top, logit[r][k]);
          float const factor = mass[r].raise_to(top);
          for (int i = 0; i < Columns::count; ++i) sum[r][i] *= factor;
          for (int k = 0; k < keys_at_once; ++k) weight[r][k] = mass[r].add(logit[r][k]);
          if (!job.page_lse) continue;
          of_page[r].raise_to(top);
          for (int k = 0; k < keys_at_once; ++k) of_page[r].add(logit[r][k]);
        }
#pragma unroll
        for (int k = 0; k < keys_at_once; ++k) {
          int const token = first_token + k * keys_of_warp + my_key;
          if (token >= tokens) continue;
          float value[Columns::count];
          Columns::read(values + static_cast<std::size_t>(token) * d, d, my_columns, lanes, value);
#pragma unroll
          for (int r = 0; r < records_at_once; ++r) {
            if (r >= here) break;
            for (int i = 0; i < Columns::count; ++i) sum[r][i] += weight[r][k] * value[i];
          }
        }
      }
#pragma unroll
      for (int r = 0; r < records_at_once; ++r) {
        if (!job.page_lse || r >= here) break;
        for (int step = lanes; step < warp; step *= 2) {
          Mass const other{__shfl_xor_sync(all_lanes, of_page[r].top, step), __shfl_xor_sync(all_lanes, of_page[r].sum, step)};
          of_page[r].raise_to(other.top);
          of_page[r].sum += other.sum * share_of(other.top, of_page[r].top);
        }
        std::size_t const page_row = static_cast<std::size_t>(page - part.page_begin) * part.lse_rows + row_in_part(r);
        if (lane == 0)
          job.page_lse[part.lse_begin + page_row * job.q_heads + head_of(r)] = of_page[r].sum > 0 ? of_page[r].top + logf(of_page[r].sum) : -INFINITY;
      }
    }

#pragma unroll
    for (int r = 0; r < records_at_once; ++r) {
      if (r >= here) break;
      for (int step = lanes; step < warp; step *= 2) {
        Mass const other{__shfl_xor_sync(all_lanes, mass[r].top, step), __shfl_xor_sync(all_lanes, mass[r].sum, step)};
        float const mine = mass[r].raise_to(other.top), others = share_of(other.top, mass[r].top);
        mass[r].sum += other.sum * others;
        for (int i = 0; i < Columns::count; ++i) sum[r][i] = mine * sum[r][i] + others * __shfl_xor_sync(all_lanes, sum[r][i], step);
      }
      if (lane == 0) {
        top_of[my_warp][r] = mass[r].top;
        denom_of[my_warp][r] = mass[r].sum;
      }
      for (int load = 0; my_key == 0 && load < loads; ++load)
        for (int i = 0; i < Columns::each; ++i)
          if (int const column = Columns::first(load, my_columns, lanes) + i; column < d)
            sum_of[(my_warp * records_at_once + r) * d + column] = sum[r][load * Columns::each + i];
    }
    __syncthreads();
    PartialView const to = part.partial_row < 0 ? job.out : job.partials;
    int const to_row = part.partial_row < 0 ? part.row_begin : part.partial_row;
    for (int i = static_cast<int>(threadIdx.x); i < here * d; i += warps * warp) {
      int const r = i / d, column = i % d;
      std::size_t const at = static_cast<std::size_t>(to_row + row_in_part(r)) * job.q_heads + head_of(r);
      float top = -INFINITY, denom = 0, total = 0;
      for (int w = 0; w < warps; ++w) top = fmaxf(top, top_of[w][r]);
      for (int w = 0; w < warps; ++w) {
        float const factor = share_of(top_of[w][r], top);
        denom += factor * denom_of[w][r];
        total += factor * sum_of[(w * records_at_once + r) * d + column];
      }
      to.sum[at * d + column] = total;
      if (column > 0) continue;
      to.max[at] = top;
      to.denom[at] = denom;
    }
    __syncthreads();   // the next four records use the same shared memory
  }
}

/// One block per (row that was split, query head): adds its partials in the order of their pages.
/// Bytes: 4 (head_dim + 2) read per partial, as many written. Limit: memory bandwidth; a percent of what attend_part reads.
__global__ void __launch_bounds__(join_threads) join_partials(Job job) {
  AttendJoin const join = job.plan.split.join[blockIdx.x];
  int const d = job.pool.layout.head_dim, head = static_cast<int>(blockIdx.y);
  auto const at_of = [&](int n) { return static_cast<std::size_t>(join.first_partial_row + n * join.step) * job.q_heads + head; };
  std::size_t const to = static_cast<std::size_t>(join.row) * job.q_heads + head;
  float top = -INFINITY;
  for (int n = 0; n < join.partials; ++n) top = fmaxf(top, job.partials.max[at_of(n)]);
  for (int column = static_cast<int>(threadIdx.x); column < d; column += join_threads) {
    float denom = 0, total = 0;
    for (int n = 0; n < join.partials; ++n) {
      float const factor = share_of(job.partials.max[at_of(n)], top);
      denom += factor * job.partials.denom[at_of(n)];
      total += factor * job.partials.sum[at_of(n) * d + column];
    }
    job.out.sum[to * d + column] = total;
    if (column > 0) continue;
    job.out.max[to] = top;
    job.out.denom[to] = denom;
  }
}

template <class Scalar, int loads>
void start(Job const& job, CUstream_st* queue) {
  int const d = job.pool.layout.head_dim;
  bool const whole = static_cast<std::size_t>(d) * sizeof(typename Scalar::Stored) % load_bytes == 0;
  dim3 const blocks(static_cast<unsigned>(job.plan.split.parts), static_cast<unsigned>(job.pool.layout.kv_heads));
  std::size_t const shared_bytes = sizeof(float) * warps * records_at_once * static_cast<std::size_t>(d);
  launch(whole ? attend_part<Scalar, loads, true> : attend_part<Scalar, loads, false>, blocks, warps * warp, shared_bytes, queue, "cuda::attend",
         job);
}

template <class Scalar>
void start(Job job, CUstream_st* queue) {
  int const each = load_bytes / static_cast<int>(sizeof(typename Scalar::Stored)), d = job.pool.layout.head_dim;
  job.lanes = 1;
  while (job.lanes < warp && job.lanes * each < d) job.lanes *= 2;
  if (d <= job.lanes * each) return start<Scalar, 1>(job, queue);
  if (d <= 2 * job.lanes * each) return start<Scalar, 2>(job, queue);
  throw std::runtime_error("cuda::attend takes a head_dim up to " + std::to_string(2 * warp * each) + " of this type, not " + std::to_string(d));
}

}  // namespace

void attend(PoolView const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse,
            Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (plan.split.parts < 0) throw std::runtime_error("cuda::attend was handed a plan without its split; make one by split_plan()");
  if (plan.split.parts == 0) return;
  auto const records = static_cast<std::size_t>(plan.split.partial_rows) * static_cast<std::size_t>(q_heads);
  DeviceArray<float> const sums{records * static_cast<std::size_t>(pool.layout.head_dim), stream}, tops{records, stream}, denoms{records, stream};
  Job const job{pool, plan, q, q_heads, scale, out, {sums.data(), tops.data(), denoms.data()}, page_lse, 0};
  if (pool.layout.dtype == DType::f32) start<F32>(job, queue);
  if (pool.layout.dtype == DType::bf16) start<Bf16>(job, queue);
  if (pool.layout.dtype == DType::f16) start<F16>(job, queue);
  if (plan.split.joins == 0) return;
  dim3 const blocks(static_cast<unsigned>(plan.split.joins), static_cast<unsigned>(q_heads));
  launch(join_partials, blocks, join_threads, 0, queue, "joining the partials of cuda::attend", job);
}

}  // namespace pikv::kernels::cuda
