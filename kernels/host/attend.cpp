#include "kernels/attend.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/host/attend_run.hpp"
#include "kernels/host/parallel.hpp"
#include "kernels/host/scratch.hpp"

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
  std::size_t const head_dim = work.job.head_dim();
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

template <DType type>
void do_tiles(Work& work) {
  if (work.records <= few_records && work.job.head_dim() % (2 * lanes) == 0) return do_tiles_for_few<type>(work);
  while (work.next_tile()) do_tile_for_many<type>(work);
}

void do_run(AttendJob const& job, Run const& run, float* scratch) {
  std::size_t const records = job.records(run.group);
  if (records == 0) return;
  Work work{job, run, records, scratch};
  std::fill_n(run.result, records * job.record_floats(), 0.0f);
  std::fill_n(work.maxima, records, empty_max);
  if (job.page_lse)
    for (std::int32_t page = run.page_begin; page < run.page_end; ++page)
      for (std::size_t record = 0; record < records; ++record) work.page_lse(page, record) = empty_max;
  switch (job.pool.layout.dtype) {
    case DType::f32:
      return do_tiles<DType::f32>(work);
    case DType::bf16:
      return do_tiles<DType::bf16>(work);
    case DType::f16:
      return do_tiles<DType::f16>(work);
  }
}

/// Joins the runs of one group and KV head in order and stores them in job.out.
void join_runs(AttendJob const& job, Run const* runs, std::size_t count) {
  Floats const d;
  std::size_t const records = job.records(runs->group), floats = job.record_floats(), columns = job.columns();
  for (std::size_t record = 0; record < records; ++record) {
    float* into = runs[0].result + record * floats;
    float max = runs[0].result[records * floats + record];
    for (std::size_t r = 1; r < count; ++r) {
      float const* part = runs[r].result + record * floats;
      float const part_max = runs[r].result[records * floats + record], top = std::max(max, part_max);
      if (top == empty_max) continue;
      FloatVec const of_into = hn::Set(d, std::exp(max - top)), of_part = hn::Set(d, std::exp(part_max - top));
      for (std::size_t i = 0; i < floats; i += lanes)
        hn::Store(hn::MulAdd(of_into, hn::Load(d, into + i), hn::Mul(of_part, hn::Load(d, part + i))), d, into + i);
      max = top;
    }
    std::size_t const row = static_cast<std::size_t>(job.plan.row_offsets[runs->group]) + record / job.share();
    std::size_t const at = row * job.q_heads + static_cast<std::size_t>(runs->kv_head) * job.share() + record % job.share();
    job.out.max[at] = max;
    job.out.denom[at] = 0;
    for (std::size_t i = columns; i < floats; i += lanes) job.out.denom[at] += hn::GetLane(hn::SumOfLanes(d, hn::Load(d, into + i)));
    std::copy_n(into, job.head_dim(), job.out.sum + at * job.head_dim());
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pikv::kernels::host {
namespace {

/// The runs of one (group, KV head) lie together, groups in order.
struct Cut {
  std::size_t runs = 0, joins = 0, result_floats = 0, most_records = 0;
  double multiply_adds = 0;
};

std::int32_t pages_per_run(AttendJob const& job, std::int32_t group) {
  auto const rows = static_cast<std::int32_t>(job.rows(group));
  return std::max(1, 1024 * std::max(1, rows / 16) / job.pool.layout.page_tokens);   // more rows, longer runs: results stay small beside pages
}

std::int32_t runs_per_head(AttendJob const& job, std::int32_t group) {
  std::int32_t const pages = job.plan.page_offsets[group + 1] - job.plan.page_offsets[group], per_run = pages_per_run(job, group);
  return std::max(1, (pages + per_run - 1) / per_run);   // a group without pages has one run without keys
}

Cut measure(AttendJob const& job) {
  Cut cut;
  for (std::int32_t group = 0; group < job.plan.groups; ++group) {
    std::size_t const records = job.records(group), heads = static_cast<std::size_t>(job.pool.layout.kv_heads);
    std::size_t const runs = heads * static_cast<std::size_t>(runs_per_head(job, group));
    cut.runs += runs;
    cut.joins += heads;
    cut.result_floats += runs * job.run_floats(records);
    cut.most_records = std::max(cut.most_records, records);
    double const keys = static_cast<double>(job.plan.page_offsets[group + 1] - job.plan.page_offsets[group]) * job.pool.layout.page_tokens;
    cut.multiply_adds += 2 * keys * static_cast<double>(heads * records * job.head_dim());
  }
  return cut;
}

void make_runs(AttendJob const& job, Run* run, std::size_t* first_of_join, float* result) {
  std::size_t count = 0, lse = 0;
  for (std::int32_t group = 0; group < job.plan.groups; ++group) {
    std::int32_t const begin = job.plan.page_offsets[group], end = job.plan.page_offsets[group + 1];
    std::int32_t const per_run = pages_per_run(job, group), runs = runs_per_head(job, group);
    for (std::int32_t head = 0; head < job.pool.layout.kv_heads; ++head) {
      *first_of_join++ = count;
      for (std::int32_t r = 0; r < runs; ++r, ++count, result += job.run_floats(job.records(group)))
        run[count] = {group, head, begin + r * per_run, std::min(end, begin + (r + 1) * per_run), lse, result};
    }
    lse += static_cast<std::size_t>(end - begin) * job.rows(group) * job.q_heads;
  }
  *first_of_join = count;
}

}  // namespace

HWY_EXPORT(do_run);
HWY_EXPORT(join_runs);

void attend(PoolView const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse,
            Stream&) {
  thread_local Scratch<float> results, tiles;
  thread_local Scratch<Run> run_list;
  thread_local Scratch<std::size_t> join_list;
  AttendJob const job{pool, plan, q, q_heads, scale, out, page_lse};
  Cut const cut = measure(job);
  Run* runs = run_list.at_least(cut.runs);
  std::size_t* first_of_join = join_list.at_least(cut.joins + 1);
  make_runs(job, runs, first_of_join, results.at_least(cut.result_floats));

  std::size_t const tile_floats = (job.tile_floats(cut.most_records) + 15) / 16 * 16;
  float* tile = tiles.at_least(tile_floats * static_cast<std::size_t>(omp_get_max_threads()));
  parallel_for(cut.runs, cut.multiply_adds, [&](std::size_t item, int thread) {
    HWY_DYNAMIC_DISPATCH(do_run)(job, runs[item], tile + tile_floats * static_cast<std::size_t>(thread));
  });
  parallel_for(cut.joins, static_cast<double>(cut.result_floats), [&](std::size_t item, int) {
    HWY_DYNAMIC_DISPATCH(join_runs)(job, runs + first_of_join[item], first_of_join[item + 1] - first_of_join[item]);
  });
}

}  // namespace pikv::kernels::host
#endif
