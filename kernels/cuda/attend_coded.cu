#include <algorithm>
#include <dynamic_shared.cuh>
#include <string>

#include "kernels/cuda/coded.cuh"
#include "kernels/cuda/coded.hpp"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/mass.cuh"
#include "kernels/cuda/stream.hpp"

namespace pikv::kernels::cuda {
namespace {

constexpr int warp = 32, warps = 4, records_at_once = 4, threads = warps * warp;
constexpr unsigned all_lanes = 0xFFFFFFFFu;

struct Job {
  CodedLayout layout;
  std::byte const* base;
  std::size_t slot_bytes;
  AttendPlan plan;
  float const* q;          // [rows][q_heads][q_stride], mapped where keys have a linear map
  float const* q_of_mean;   // [rows][q_heads], or null: no key has a mean
  int q_stride, q_heads;
  float scale;
  PartialView out, partials;
  int partial_stride;   // of the sums of partials, which are not expanded yet
  float* page_lse;
};

/// One number for each of four (row, query head).
struct alignas(16) Records {
  float of[records_at_once] = {};

  __device__ void add(Records const& factor, float x) {
    for (int r = 0; r < records_at_once; ++r) of[r] += factor.of[r] * x;
  }
  __device__ void multiply(float x) {
    for (int r = 0; r < records_at_once; ++r) of[r] *= x;
  }
};

/// Over lanes that differ in bits `step` and above.
__device__ Records sum_over_lanes(Records x, int step) {
  for (; step < warp; step *= 2)
    for (int r = 0; r < records_at_once; ++r) x.of[r] += __shfl_xor_sync(all_lanes, x.of[r], step);
  return x;
}

__device__ Records max_over_lanes(Records x) {
  for (int step = 1; step < warp; step *= 2)
    for (int r = 0; r < records_at_once; ++r) x.of[r] = fmaxf(x.of[r], __shfl_xor_sync(all_lanes, x.of[r], step));
  return x;
}

/// The query times decode of a page's own basis, by one warp: to [rank]. Returns its product with the mean.
__device__ Records map_to_own_basis(CodedColumn const& keys, std::byte const* page, Records const* query, int d, int lane, Records* to) {
  Records of_mean;
  float const *const mean = keys.own_mean(page), *const scales = keys.own_scales(page, d);
  signed char const* const basis = keys.own_basis(page, d);
  for (int i = lane; i < d; i += warp) of_mean.add(query[i], mean[i]);
  for (int j = lane; j < keys.head.width; j += warp) {
    Records sum;
    for (int i = 0; j < keys.head.rank && i < d; ++i) sum.add(query[i], basis[j * d + i]);
    sum.multiply(j < keys.head.rank ? scales[j] : 0);
    to[j] = sum;
  }
  return sum_over_lanes(of_mean, 1);
}

/// q . key of each lane's token in the block of tokens from `first`, the mean left out; tokens of a block below 32 have several lanes, which share
/// its numbers. `work` gets the query times the steps of the block.
template <class Codes>
__device__ Records dot_keys(CodedColumn const& keys, std::byte const* page, int first, Records const* query, int lane, Records* work) {
  Records of_lower_ends;
  if (Codes::steps) {
    for (int j = lane; j < keys.head.width; j += warp) {
      Records q = query[j];
      int const group = keys.group(first, j);
      of_lower_ends.add(q, keys.lower_end<Codes>(page, group));
      q.multiply(keys.step<Codes>(page, group));
      work[j] = q;
    }
    of_lower_ends = sum_over_lanes(of_lower_ends, 1);
    __syncwarp();   // the query of this block is complete
    query = work;
  }
  int const token = lane % keys.block, slice = lane / keys.block, slices = warp / keys.block;
  Records dot;
#pragma unroll 4
  for (int along = slice; along < keys.head.width / Codes::per; along += slices) {
    auto const word = keys.word<Codes>(page, along, first + token);
    for (int i = 0; i < Codes::per; ++i) dot.add(query[along * Codes::per + i], Codes::value(word, i));
  }
  dot = sum_over_lanes(dot, keys.block);
  dot.multiply(keys.scale(page));
  for (int r = 0; r < records_at_once; ++r) dot.of[r] += of_lower_ends.of[r];
  return dot;
}

/// sum[k] += the values of column 32 k + lane, of the `tokens` tokens from `first`, times the weight that the token's lane holds (0 in other lanes).
/// lower_ends[k] of a lane: what its token adds to each of these 32 columns besides. `work` gets the weights times the steps.
template <class Codes, int loads>
__device__ void add_values(CodedColumn const& values, std::byte const* page, int first, int tokens, Records const& weight, int lane, Records* work,
                           Records (&sum)[loads], Records (&lower_ends)[loads]) {
  int const width = values.head.width;
  if (Codes::steps) {
#pragma unroll
    for (int k = 0; k < loads; ++k) {
      if (k * warp >= width) break;
      int const group = values.group(first + lane % values.block, k * warp);
      Records stepped = weight;
      lower_ends[k].add(weight, values.lower_end<Codes>(page, group));
      stepped.multiply(values.step<Codes>(page, group));
      work[k * warp + lane] = stepped;
    }
  } else {
    Records scaled = weight;
    scaled.multiply(values.scale(page));
    work[lane] = scaled;
  }
  __syncwarp();   // the weights are complete
  for (int token = 0; token < tokens; token += Codes::per) {
    int const along = (first + token) / Codes::per;
#pragma unroll
    for (int k = 0; k < loads; ++k) {
      int const column = k * warp + lane;
      if (column >= width) break;
      auto const word = values.word<Codes>(page, along, column);
      for (int i = 0; i < Codes::per; ++i) sum[k].add(work[(Codes::steps ? k * warp : 0) + token + i], Codes::value(word, i));
    }
  }
}

/// sum += decode latent of a page's own basis, and the mean times the sum of the weights; the latents are those of all lanes and are 0 after.
template <int loads>
__device__ void add_decoded(CodedColumn const& values, std::byte const* page, Records const& weights, int d, int lane, Records* work,
                            Records (&latent)[loads], Records (&sum)[loads]) {
  float const *const mean = values.own_mean(page), *const scales = values.own_scales(page, d);
  signed char const* const basis = values.own_basis(page, d);
#pragma unroll
  for (int k = 0; k < loads; ++k) {
    int const j = k * warp + lane;
    latent[k].multiply(j < values.head.rank ? scales[j] : 0);
    work[j] = latent[k];
    latent[k] = {};
  }
  __syncwarp();   // the latents are complete
#pragma unroll
  for (int k = 0; k < loads; ++k) {
    int const i = k * warp + lane;
    if (i >= d) break;
    sum[k].add(weights, mean[i]);
    for (int j = 0; j < values.head.rank; ++j) sum[k].add(work[j], basis[j * d + i]);
  }
  __syncwarp();   // the next block of keys uses the same memory
}

/// Number i of mean * weight + decode latent; of columns that are not compressed, or expanded already, latent(i).
template <class Latent>
__device__ float expanded(CodedColumn const& values, int i, float weight, Latent const& latent) {
  if (!values.map.decode) return latent(i);
  float sum = values.map.mean[i] * weight;
  float const* const decode = values.map.decode + static_cast<std::size_t>(i) * values.head.rank;
  for (int j = 0; j < values.head.rank; ++j) sum += decode[j] * latent(j);
  return sum;
}

/// One block per (row, query head): decode^T q, and q . mean. Bytes: decode, from the cache after the first row; 4 (head_dim + width) per query.
/// Multiply-adds: head_dim (width + 1) per query. Limit: the launch for few rows, loads from the cache for many.
__global__ void __launch_bounds__(threads) map_queries(CodedLayout layout, float const* q, int q_heads, int stride, float* to, float* of_mean) {
  std::size_t const at = static_cast<std::size_t>(blockIdx.x) * q_heads + blockIdx.y;
  CodedColumn const keys{layout, Part::keys, static_cast<int>(blockIdx.y) / (q_heads / layout.kv_heads)};
  int const d = layout.head_dim, rank = keys.head.rank, thread = static_cast<int>(threadIdx.x);
  float const* const from = q + at * d;
  for (int j = thread; j < keys.head.width; j += threads) {
    float sum = keys.identity() && j < d ? from[j] : 0;
    for (int i = 0; !keys.identity() && i < d; ++i) sum += from[i] * keys.map.decode[static_cast<std::size_t>(i) * rank + j];
    to[at * stride + j] = sum;
  }
  if (thread >= warp) return;
  float sum = 0;
  for (int i = thread; !keys.identity() && i < d; i += warp) sum += from[i] * keys.map.mean[i];
  for (int step = 1; step < warp; step *= 2) sum += __shfl_xor_sync(all_lanes, sum, step);
  if (thread == 0) of_mean[at] = sum;
}

/// One block per (part of the plan, KV head), four records at a time; a warp takes every fourth page. Of keys a lane has a token, of values a lane has
/// columns, so that both are read in whole words without a gap; queries times steps and weights times steps wait in shared memory for all lanes.
/// Values are summed as they are kept, and expanded at the end; with a page's own basis at the end of the page, where the query is mapped at its start.
/// Bytes: the codes and scales of the part's pages for the head, and 4 (width + 2) written per record. Multiply-adds: key width + value width per
/// (record, key), as many quarters again to unpack int8 and int4 (half of them for fewer records); own bases: 2 rank head_dim per (record, page).
/// Limit: with four records per key memory bandwidth for f32 and 16 bits; int8, fp8 and int4 reach the rate of instructions first.
template <int loads, bool own>
__global__ void __launch_bounds__(threads) attend_coded_part(Job job) {
  constexpr int columns = loads * warp;
  __shared__ float top_of[warps][records_at_once], denom_of[warps][records_at_once], denom_of_all[records_at_once];
  int const my_warp = static_cast<int>(threadIdx.x) / warp, lane = static_cast<int>(threadIdx.x) % warp, thread = static_cast<int>(threadIdx.x);
  auto* const query = dynamic_shared<Records>();               // [columns]; at the end the sums of all warps
  auto* const work_of_warps = query + columns;                 // [warps][columns]
  auto* const work = work_of_warps + my_warp * columns;
  auto* const own_query = own ? work_of_warps + (warps + my_warp) * columns : nullptr;
  AttendPart const part = job.plan.split.part[blockIdx.x];
  int const d = job.layout.head_dim, kv_head = static_cast<int>(blockIdx.y), share = job.q_heads / job.layout.kv_heads, records = part.rows * share;
  CodedColumn const keys{job.layout, Part::keys, kv_head}, values{job.layout, Part::values, kv_head};
  bool const own_keys = own && keys.own_basis(), own_values = own && values.own_basis();
  int const query_columns = own_keys ? d : keys.head.width, sum_columns = own_values ? d : values.head.width;
  int const given = job.q_of_mean ? keys.head.width : d;   // numbers of a query

  for (int first_record = 0; first_record < records; first_record += records_at_once) {
    int const here = min(records_at_once, records - first_record);
    auto const row_in_part = [&](int r) { return (first_record + r) / share; };
    auto const head_of = [&](int r) { return kv_head * share + (first_record + r) % share; };
    auto const query_at = [&](int r) { return static_cast<std::size_t>(part.row_begin + row_in_part(r)) * job.q_heads + head_of(r); };
    for (int j = thread; j < query_columns; j += threads) {
      Records q;
      for (int r = 0; r < here; ++r) q.of[r] = j < given ? job.scale * job.q[query_at(r) * job.q_stride + j] : 0;
      query[j] = q;
    }
    int last_position[records_at_once] = {};
    Records of_mean, sum[loads], latent[loads], lower_ends[loads];
    Mass mass[records_at_once], of_page[records_at_once];
#pragma unroll
    for (int r = 0; r < records_at_once; ++r) {
      if (r >= here) break;
      last_position[r] = job.plan.row_position[part.row_begin + row_in_part(r)];
      if (job.q_of_mean) of_mean.of[r] = job.scale * job.q_of_mean[query_at(r)];
    }
    __syncthreads();   // the query is complete

    for (int page = part.page_begin + my_warp; page < part.page_end; page += warps) {
      std::byte const* const bytes = job.base + static_cast<std::size_t>(job.plan.slots[page]) * job.slot_bytes;
      int const tokens = job.plan.tokens[page], position = job.plan.first_position[page];
      Records page_weight;
      for (int r = 0; r < records_at_once; ++r) of_page[r] = Mass{};
      if (own_keys) {
        of_mean = map_to_own_basis(keys, bytes, query, d, lane, own_query);
        __syncwarp();   // the mapped query is complete
      }
      for (int first = 0; first < tokens; first += keys.block) {
        int const token = first + lane % keys.block;
        Records logit, weight;
        with_codes(keys.element, [&](auto codes) { logit = dot_keys<decltype(codes)>(keys, bytes, first, own_keys ? own_query : query, lane, work); });
        for (int r = 0; r < records_at_once; ++r)
          logit.of[r] = r < here && token < tokens && position + token <= last_position[r] ? logit.of[r] + of_mean.of[r] : -INFINITY;
        Records const top = max_over_lanes(logit);
        if (lane >= keys.block)
          for (float& of : logit.of) of = -INFINITY;   // a token counts in one lane
#pragma unroll
        for (int r = 0; r < records_at_once; ++r) {
          float const factor = mass[r].raise_to(top.of[r]);
          for (int k = 0; k < loads; ++k) {
            sum[k].of[r] *= factor;
            lower_ends[k].of[r] *= factor;
            if (own) latent[k].of[r] *= factor;
          }
          weight.of[r] = mass[r].add(logit.of[r]);
          page_weight.of[r] = page_weight.of[r] * factor + weight.of[r];
          of_page[r].raise_to(top.of[r]);
          if (job.page_lse) of_page[r].add(logit.of[r]);
        }
        __syncwarp();   // no lane reads the query of this block any more
        with_codes(values.element, [&](auto codes) {
          add_values<decltype(codes)>(values, bytes, first, min(values.block, tokens - first), weight, lane, work, own ? latent : sum, lower_ends);
        });
        __syncwarp();   // nor its weights
      }
      if (own) {
#pragma unroll
        for (int k = 0; k < loads; ++k) {
          Records const of_all = sum_over_lanes(lower_ends[k], 1);
          for (int r = 0; r < records_at_once; ++r) latent[k].of[r] += of_all.of[r];
          lower_ends[k] = {};
          if (own_values) continue;
          for (int r = 0; r < records_at_once; ++r) sum[k].of[r] += latent[k].of[r];
          latent[k] = {};
        }
        if (own_values) add_decoded(values, bytes, sum_over_lanes(page_weight, 1), d, lane, work, latent, sum);
      }
#pragma unroll
      for (int r = 0; r < records_at_once; ++r) {
        if (!job.page_lse || r >= here) break;
        for (int step = 1; step < warp; step *= 2) of_page[r].sum += __shfl_xor_sync(all_lanes, of_page[r].sum, step);
        std::size_t const page_row = static_cast<std::size_t>(page - part.page_begin) * part.lse_rows + row_in_part(r);
        if (lane == 0)
          job.page_lse[part.lse_begin + page_row * job.q_heads + head_of(r)] = of_page[r].sum > 0 ? of_page[r].top + logf(of_page[r].sum) : -INFINITY;
      }
    }

#pragma unroll
    for (int r = 0; r < records_at_once; ++r) {
      for (int step = 1; step < warp; step *= 2) mass[r].sum += __shfl_xor_sync(all_lanes, mass[r].sum, step);
      if (lane > 0) continue;
      top_of[my_warp][r] = mass[r].top;
      denom_of[my_warp][r] = mass[r].sum;
    }
#pragma unroll
    for (int k = 0; k < loads; ++k) {
      Records const of_all = sum_over_lanes(lower_ends[k], 1);
      for (int r = 0; r < records_at_once; ++r) sum[k].of[r] += of_all.of[r];
      work[k * warp + lane] = sum[k];
    }
    __syncthreads();   // every warp has its sums
    bool const whole = part.partial_row < 0;
    PartialView const to = whole ? job.out : job.partials;
    auto const at_of = [&](int r) {
      return static_cast<std::size_t>((whole ? part.row_begin : part.partial_row) + row_in_part(r)) * job.q_heads + head_of(r);
    };
    for (int i = thread; i < here * sum_columns; i += threads) {
      int const r = i / sum_columns, column = i % sum_columns;
      float top = -INFINITY, denom = 0, total = 0;
      for (int w = 0; w < warps; ++w) top = fmaxf(top, top_of[w][r]);
      for (int w = 0; w < warps; ++w) {
        float const factor = share_of(top_of[w][r], top);
        denom += factor * denom_of[w][r];
        total += factor * work_of_warps[w * columns + column].of[r];
      }
      query[column].of[r] = total;
      if (column > 0) continue;
      denom_of_all[r] = denom;
      to.max[at_of(r)] = top;
      to.denom[at_of(r)] = denom;
    }
    __syncthreads();   // the sums of all warps are complete
    int const written = whole ? d : sum_columns, stride = whole ? d : job.partial_stride;
    for (int i = thread; i < here * written; i += threads) {
      int const r = i / written, column = i % written;
      auto const latent_of_all = [&](int j) { return query[j].of[r]; };
      to.sum[at_of(r) * stride + column] = whole ? expanded(values, column, denom_of_all[r], latent_of_all) : latent_of_all(column);
    }
    __syncthreads();   // the next four records use the same shared memory
  }
}

/// One block per (row that was split, query head): adds its partials in the order of their pages and expands the sum.
/// Bytes: 4 (width + 2) read per partial, 4 (head_dim + 2) written, the map from the cache. Limit: memory bandwidth; a percent of what
/// attend_coded_part reads.
__global__ void __launch_bounds__(threads) join_coded_partials(Job job) {
  auto* const latent = dynamic_shared<float>();   // [columns]
  AttendJoin const join = job.plan.split.join[blockIdx.x];
  int const d = job.layout.head_dim, head = static_cast<int>(blockIdx.y), thread = static_cast<int>(threadIdx.x);
  CodedColumn const values{job.layout, Part::values, head / (job.q_heads / job.layout.kv_heads)};
  int const columns = values.own_basis() ? d : values.head.width;
  auto const at_of = [&](int n) { return static_cast<std::size_t>(join.first_partial_row + n * join.step) * job.q_heads + head; };
  std::size_t const to = static_cast<std::size_t>(join.row) * job.q_heads + head;
  float top = -INFINITY, denom = 0;
  for (int n = 0; n < join.partials; ++n) top = fmaxf(top, job.partials.max[at_of(n)]);
  for (int n = 0; n < join.partials; ++n) denom += share_of(job.partials.max[at_of(n)], top) * job.partials.denom[at_of(n)];
  for (int column = thread; column < columns; column += threads) {
    float total = 0;
    for (int n = 0; n < join.partials; ++n)
      total += share_of(job.partials.max[at_of(n)], top) * job.partials.sum[at_of(n) * job.partial_stride + column];
    latent[column] = total;
  }
  __syncthreads();   // the latent is complete
  for (int i = thread; i < d; i += threads) job.out.sum[to * d + i] = expanded(values, i, denom, [&](int j) { return latent[j]; });
  if (thread > 0) return;
  job.out.max[to] = top;
  job.out.denom[to] = denom;
}

template <int loads, bool own>
void start(Job const& job, CUstream_st* queue) {
  dim3 const blocks(static_cast<unsigned>(job.plan.split.parts), static_cast<unsigned>(job.layout.kv_heads));
  std::size_t const shared_bytes = sizeof(Records) * loads * warp * (1 + warps * (own ? 2 : 1));
  launch(attend_coded_part<loads, own>, blocks, threads, shared_bytes, queue, "cuda::attend_coded", job);
}

template <bool own>
void start(Job const& job, int columns, CUstream_st* queue) {
  if (columns <= 2 * warp) return start<2, own>(job, queue);
  if (columns <= 4 * warp) return start<4, own>(job, queue);
  if (columns <= 8 * warp) return start<8, own>(job, queue);
  if (columns <= 16 * warp) return start<16, own>(job, queue);
  throw std::runtime_error("cuda::attend_coded takes a head_dim up to " + std::to_string(16 * warp) + ", not " + std::to_string(columns));
}

}  // namespace

void attend_coded(DeviceCodedPool const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out,
                  float* page_lse, Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (plan.split.parts < 0) throw std::runtime_error("cuda::attend_coded was handed a plan without its split; make one by split_plan()");
  if (plan.split.parts == 0) return;
  CodedLayout const& layout = pool.layout->view();
  bool const own = pool.layout->has_own_basis(), maps_queries = layout.k_map != nullptr;
  int const key_width = pool.layout->width(true), value_width = pool.layout->width(false), d = layout.head_dim;
  int const partial_stride = own ? std::max(d, value_width) : value_width;
  auto const queries = maps_queries ? static_cast<std::size_t>(plan.split.rows) * static_cast<std::size_t>(q_heads) : 0;
  auto const records = static_cast<std::size_t>(plan.split.partial_rows) * static_cast<std::size_t>(q_heads);
  DeviceArray<float> const mapped{queries * static_cast<std::size_t>(key_width), stream}, of_mean{queries, stream};
  DeviceArray<float> const sums{records * static_cast<std::size_t>(partial_stride), stream}, tops{records, stream}, denoms{records, stream};
  if (maps_queries && plan.split.rows > 0)
    launch(map_queries, dim3(static_cast<unsigned>(plan.split.rows), static_cast<unsigned>(q_heads)), threads, 0, queue,
           "mapping the queries of cuda::attend_coded", layout, q, q_heads, key_width, mapped.data(), of_mean.data());
  Job const job{layout, pool.base, pool.slot_bytes, plan, maps_queries ? mapped.data() : q, of_mean.data(), maps_queries ? key_width : d, q_heads, scale,
                out, {sums.data(), tops.data(), denoms.data()}, partial_stride, page_lse};
  if (own)
    start<true>(job, std::max({d, key_width, value_width}), queue);
  else
    start<false>(job, std::max(key_width, value_width), queue);
  if (plan.split.joins == 0) return;
  dim3 const blocks(static_cast<unsigned>(plan.split.joins), static_cast<unsigned>(q_heads));
  launch(join_coded_partials, blocks, threads, sizeof(float) * static_cast<std::size_t>(partial_stride), queue,
         "joining the partials of cuda::attend_coded", job);
}

}  // namespace pikv::kernels::cuda
