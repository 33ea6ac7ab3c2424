#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attend.hpp"
#include "kernels/coded.hpp"

namespace pikv::kernels::host {

struct TileKernels;

/// How host::attend cuts its work. A run is a fixed number of consecutive pages of one group in one KV head, for all rows and query heads that
/// read them; its result is a record per (row, query head), and the runs of a group are joined in order. The cut depends on the group alone.
/// Inside a run, keys are taken `tile_keys` at a time, whatever the page size.
inline constexpr std::int32_t tile_keys = 64;
inline constexpr std::size_t column_multiple = 32;   // columns of a tile are padded to two of the widest vectors
inline constexpr std::size_t denom_columns = 16;     // a denominator is kept as a sum per lane until the end

struct AttendJob {
  PoolView const* pool;     // of plain pages, or null
  CodedPool const* coded;   // of coded pages, or null
  std::int32_t kv_heads, page_tokens;
  std::size_t key_width;     // numbers of a query and of a key
  std::size_t value_width;   // of a value and a result
  AttendPlan const& plan;
  float const* q;   // [rows][q_heads][key_width]
  std::int32_t q_heads;
  float scale;
  PartialView out;
  float* page_lse;
  TileKernels const* tiles;   // null: do without

  std::size_t columns() const { return (value_width + column_multiple - 1) / column_multiple * column_multiple; }
  std::size_t share() const { return static_cast<std::size_t>(q_heads / kv_heads); }
  std::size_t rows(std::int32_t group) const { return static_cast<std::size_t>(plan.row_offsets[group + 1] - plan.row_offsets[group]); }
  std::size_t records(std::int32_t group) const { return rows(group) * share(); }   // record = row * share + query head of the KV head
  std::size_t record_floats() const { return columns() + denom_columns; }           // sum, then the denominator by lane

  /// Floats of scratch: for the result of one run (records, then their maxima), and for one thread at work on runs of that size.
  std::size_t run_floats(std::size_t records) const { return (records * (record_floats() + 1) + 15) / 16 * 16; }
  std::size_t tile_floats(std::size_t records) const { return tile_keys * (key_width + columns() + records) + records; }
};

struct Run {
  std::int32_t group, kv_head;
  std::int32_t page_begin, page_end;   // in the plan
  std::size_t group_lse;               // where the group's part of page_lse starts
  float* result;
};

/// scratch: what a thread needs, and `more_scratch`. `later`, or null: the run that the thread is likely to take next, to fetch what it reads first.
using DoRun = void (*)(AttendJob const& job, Run const& run, Run const* later, float* scratch);
using JoinRuns = void (*)(AttendJob const& job, Run const* runs, std::size_t count);   // the runs of one group and KV head, in order
void do_all_runs(AttendJob const& job, std::size_t more_scratch, DoRun do_run, JoinRuns join_runs);

}  // namespace pikv::kernels::host
