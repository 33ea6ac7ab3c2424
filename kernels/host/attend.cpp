#include "kernels/attend.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/host/attend_run.hpp"
#include "kernels/host/tiles.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/host/attend.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/host/attend_few-inl.hpp"
#include "kernels/host/attend_many-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

/// Takes one tile after the other. Few records: in the order of load_pair, put right at the end.
template <DType type>
void do_tiles_for_few(Work& work) {
  std::size_t const head_dim = work.job.key_width;
  for (std::size_t record = 0; record < work.records; ++record)
    for (std::size_t i = 0; i < head_dim; ++i) work.keys[record * head_dim + paired<type>(i)] = work.query(record)[i];
  while (work.next_tile()) {
    if (work.records == 1) do_tile_for_few<type, 1>(work);
    if (work.records == 2) do_tile_for_few<type, 2>(work);
    if (work.records == 3) do_tile_for_few<type, 3>(work);
    if (work.records == 4) do_tile_for_few<type, 4>(work);
  }
  for (std::size_t record = 0; record < work.records; ++record) {
    std::copy_n(work.result(record), head_dim, work.values);
    for (std::size_t i = 0; i < head_dim; ++i) work.result(record)[i] = work.values[paired<type>(i)];
  }
}

/// Records up to which queries that are prepared for matrix tiles fit where keys else lie as fp32.
inline constexpr std::size_t most_tiled_records = 32;

/// bf16 by matrix tiles, four records at a time; only the first four fetch ahead.
void do_tiles_by(TileKernels const& kernels, Work& work) {
  std::size_t const width = work.job.key_width, bytes = kernels.prepared_bytes(width);
  auto* const prepared = reinterpret_cast<std::byte*>(work.keys);
  auto const by_fours = [&](auto const& body) {
    for (std::size_t first = 0; first < work.records; first += tile_records)
      body(first, std::min(tile_records, work.records - first), prepared + first / tile_records * bytes);
  };
  by_fours([&](std::size_t first, std::size_t count, std::byte* to) {
    float const* queries[tile_records];
    for (std::size_t m = 0; m < count; ++m) queries[m] = work.query(first + m);
    kernels.prepare(queries, count, width, to);
  });
  kernels.begin();
  while (work.next_tile()) {
    auto const keys = static_cast<std::size_t>(work.tile.count), later = static_cast<std::size_t>(work.next.count);
    by_fours([&](std::size_t first, std::size_t count, std::byte const* queries) {
      kernels.score(work.tile.key, static_cast<std::size_t>(work.tile.padded), width, {work.tile.value, first == 0 ? keys : 0}, queries, count,
                         work.weights + first * tile_keys, tile_keys);
    });
    for (std::size_t record = 0; record < work.records; ++record) soften(work, record);
    by_fours([&](std::size_t first, std::size_t count, std::byte const*) {
      kernels.weigh(work.tile.value, keys, width, {work.next.key, first == 0 ? later : 0}, work.weights + first * tile_keys, tile_keys, count,
                         work.corrections + first, work.result(first), work.job.record_floats());
    });
  }
  kernels.end();
}

template <DType type>
void do_tiles(Work& work) {
  if constexpr (type == DType::bf16 && lanes == 16)
    if (work.job.tiles && work.records <= most_tiled_records && work.job.key_width % 32 == 0 && work.job.key_width <= most_tile_width)
      return do_tiles_by(*work.job.tiles, work);
  if (work.records <= few_records && work.job.key_width % (2 * lanes) == 0) return do_tiles_for_few<type>(work);
  while (work.next_tile()) do_tile_for_many<type>(work);
}

void do_run(AttendJob const& job, Run const& run, Run const* later, float* scratch) {
  std::size_t const records = job.records(run.group);
  if (records == 0) return;
  Work work{job, run, later, records, scratch};
  std::fill_n(run.result, records * job.record_floats(), 0.0f);
  std::fill_n(work.maxima, records, empty_max);
  if (job.page_lse)
    for (std::int32_t page = run.page_begin; page < run.page_end; ++page)
      for (std::size_t record = 0; record < records; ++record) work.page_lse(page, record) = empty_max;
  switch (job.pool->layout.dtype) {
    case DType::f32:
      return do_tiles<DType::f32>(work);
    case DType::bf16:
      return do_tiles<DType::bf16>(work);
    case DType::f16:
      return do_tiles<DType::f16>(work);
  }
}

void join_runs(AttendJob const& job, Run const* runs, std::size_t count) {
  for (std::size_t record = 0; record < job.records(runs->group); ++record) {
    std::size_t const at = join_record(job, runs, count, record);
    std::copy_n(runs->result + record * job.record_floats(), job.value_width, job.out.sum + at * job.value_width);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pikv::kernels::host {
HWY_EXPORT(do_run);
HWY_EXPORT(join_runs);

void attend(PoolView const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse,
            Stream&) {
  PageLayout const& layout = pool.layout;
  auto const head_dim = static_cast<std::size_t>(layout.head_dim);
  AttendJob const job{&pool, nullptr, layout.kv_heads, layout.page_tokens, head_dim, head_dim, plan, q, q_heads, scale, out, page_lse, tile_kernels()};
  do_all_runs(job, 0, HWY_DYNAMIC_DISPATCH(do_run), HWY_DYNAMIC_DISPATCH(join_runs));
}

}  // namespace pikv::kernels::host
#endif
