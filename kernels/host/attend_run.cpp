#include "kernels/host/attend_run.hpp"

#include <algorithm>

#include "kernels/host/parallel.hpp"
#include "kernels/host/scratch.hpp"

namespace pikv::kernels::host {
namespace {

/// The runs of one (group, KV head) lie together, groups in order.
struct Cut {
  std::size_t runs = 0, joins = 0, result_floats = 0, most_records = 0;
  double multiply_adds = 0;
};

std::int32_t pages_per_run(AttendJob const& job, std::int32_t group) {
  auto const rows = static_cast<std::int32_t>(job.rows(group));
  return std::max(1, 1024 * std::max(1, rows / 16) / job.page_tokens);   // more rows, longer runs: results stay small beside pages
}

std::int32_t runs_per_head(AttendJob const& job, std::int32_t group) {
  std::int32_t const pages = job.plan.page_offsets[group + 1] - job.plan.page_offsets[group], per_run = pages_per_run(job, group);
  return std::max(1, (pages + per_run - 1) / per_run);   // a group without pages has one run without keys
}

Cut measure(AttendJob const& job) {
  Cut cut;
  for (std::int32_t group = 0; group < job.plan.groups; ++group) {
    std::size_t const records = job.records(group), heads = static_cast<std::size_t>(job.kv_heads);
    std::size_t const runs = heads * static_cast<std::size_t>(runs_per_head(job, group));
    cut.runs += runs;
    cut.joins += heads;
    cut.result_floats += runs * job.run_floats(records);
    cut.most_records = std::max(cut.most_records, records);
    double const keys = static_cast<double>(job.plan.page_offsets[group + 1] - job.plan.page_offsets[group]) * job.page_tokens;
    cut.multiply_adds += keys * static_cast<double>(heads * records * (job.key_width + job.value_width));
  }
  return cut;
}

void make_runs(AttendJob const& job, Run* run, std::size_t* first_of_join, float* result) {
  std::size_t count = 0, lse = 0;
  for (std::int32_t group = 0; group < job.plan.groups; ++group) {
    std::int32_t const begin = job.plan.page_offsets[group], end = job.plan.page_offsets[group + 1];
    std::int32_t const per_run = pages_per_run(job, group), runs = runs_per_head(job, group);
    for (std::int32_t head = 0; head < job.kv_heads; ++head) {
      *first_of_join++ = count;
      for (std::int32_t r = 0; r < runs; ++r, ++count, result += job.run_floats(job.records(group)))
        run[count] = {group, head, begin + r * per_run, std::min(end, begin + (r + 1) * per_run), lse, result};
    }
    lse += static_cast<std::size_t>(end - begin) * job.rows(group) * job.q_heads;
  }
  *first_of_join = count;
}

}  // namespace

void do_all_runs(AttendJob const& job, std::size_t more_scratch, DoRun do_run, JoinRuns join_runs) {
  thread_local Scratch<float> results, tiles;
  thread_local Scratch<Run> run_list;
  thread_local Scratch<std::size_t> join_list;
  Cut const cut = measure(job);
  Run* runs = run_list.at_least(cut.runs);
  std::size_t* first_of_join = join_list.at_least(cut.joins + 1);
  make_runs(job, runs, first_of_join, results.at_least(cut.result_floats));

  std::size_t const tile_floats = (job.tile_floats(cut.most_records) + more_scratch + 15) / 16 * 16;
  float* tile = tiles.at_least(tile_floats * static_cast<std::size_t>(omp_get_max_threads()));
  parallel_for(cut.runs, cut.multiply_adds, [&](std::size_t item, int thread) {
    std::size_t const later = item + static_cast<std::size_t>(omp_get_num_threads());
    do_run(job, runs[item], later < cut.runs ? runs + later : nullptr, tile + tile_floats * static_cast<std::size_t>(thread));
  });
  parallel_for(cut.joins, static_cast<double>(cut.result_floats),
               [&](std::size_t item, int) { join_runs(job, runs + first_of_join[item], first_of_join[item + 1] - first_of_join[item]); });
}

}  // namespace pikv::kernels::host
