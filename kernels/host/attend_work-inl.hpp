// Included once per Highway target, hence the guard of its own.
#if defined(PIKV_KERNELS_HOST_ATTEND_WORK_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef PIKV_KERNELS_HOST_ATTEND_WORK_INL
#undef PIKV_KERNELS_HOST_ATTEND_WORK_INL
#else
#define PIKV_KERNELS_HOST_ATTEND_WORK_INL
#endif

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/host/attend_run.hpp"
#include "kernels/host/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

/// Up to tile_keys keys of one KV head, by address. Places from `count` to `padded` repeat the last key at a position that no row sees.
struct Tile {
  struct Segment {
    std::int32_t page, token, begin, end;   // keys begin .. end of the tile are this page's of the plan from `token` on
  };
  std::int32_t count = 0, padded = 0, segments = 0;
  std::int32_t first_position = std::numeric_limits<std::int32_t>::max();   // smallest
  std::byte const* key[tile_keys] = {};                                     // null: an entry that was never filled must not be read by chance
  std::byte const* value[tile_keys] = {};
  HWY_ALIGN std::int32_t position[tile_keys];
  Segment segment[tile_keys];
};

/// Where the keys and values of the tile's newest segment lie in their plain page.
inline void point_at_rows(AttendJob const& job, std::int32_t kv_head, Tile& tile) {
  PageLayout const& layout = job.pool->layout;
  Tile::Segment const& segment = tile.segment[tile.segments - 1];
  std::size_t const row_bytes = job.key_width * size_of(layout.dtype);
  std::size_t const at = static_cast<std::size_t>(kv_head) * layout.head_scalars() * size_of(layout.dtype) + segment.token * row_bytes;
  std::byte const* key = job.pool->keys(job.plan.slots[segment.page]) + at;
  std::byte const* value = job.pool->values(job.plan.slots[segment.page]) + at;
  for (std::int32_t i = segment.begin; i < segment.end; ++i, key += row_bytes, value += row_bytes) {
    tile.key[i] = key;
    tile.value[i] = value;
  }
}

/// Takes the next keys of the run; (page, token) is where to go on.
inline void fill_tile(AttendJob const& job, Run const& run, std::int32_t& page, std::int32_t& token, Tile& tile) {
  tile.count = tile.segments = 0;
  tile.first_position = std::numeric_limits<std::int32_t>::max();
  while (page < run.page_end && tile.count < tile_keys) {
    std::int32_t const take = std::min(job.plan.tokens[page] - token, tile_keys - tile.count);
    std::int32_t const first = job.plan.first_position[page] + token;
    if (take > 0) {
      tile.segment[tile.segments++] = {page, token, tile.count, tile.count + take};
      tile.first_position = std::min(tile.first_position, first);
      if (job.pool) point_at_rows(job, run.kv_head, tile);
    }
    for (std::int32_t i = 0; i < take; ++i) tile.position[tile.count++] = first + i;
    token += take;
    if (token < job.plan.tokens[page]) continue;
    ++page;
    token = 0;
  }
  constexpr std::int32_t least = 4;   // scores are made four keys at a time where vectors are shorter than two
  auto const multiple = std::max(least, static_cast<std::int32_t>(2 * lanes));
  tile.padded = (tile.count + multiple - 1) / multiple * multiple;
  for (std::int32_t i = tile.count; i < tile.padded; ++i) {
    tile.key[i] = tile.key[tile.count - 1];
    tile.position[i] = std::numeric_limits<std::int32_t>::max();
  }
}

/// One run at work. `weights` has a row of tile_keys per record, `corrections` what a record's sums are scaled by before the tile is added.
struct Work {
  AttendJob const& job;
  Run const& run;
  std::size_t records;
  float *keys, *values, *weights, *corrections, *maxima;
  Run const* later;   // or null
  Tile tile, next;    // after the last tile `next` is the first of the later run, to be fetched
  std::int32_t next_page, next_token = 0;   // where the tile after `next` starts
  bool more = true;                         // next is of this run

  Work(AttendJob const& of_job, Run const& of_run, Run const* run_after, std::size_t count, float* scratch)
      : job{of_job},
        run{of_run},
        records{count},
        keys{scratch},
        values{keys + job.key_width * tile_keys},
        weights{values + job.columns() * tile_keys},
        corrections{weights + records * tile_keys},
        maxima{run.result + records * job.record_floats()},
        later{run_after},
        next_page{run.page_begin} {
    fill_tile(job, run, next_page, next_token, next);
  }

  bool next_tile() {
    if (!more || next.count == 0) return false;
    tile = next;
    fill_tile(job, run, next_page, next_token, next);
    more = next.count > 0;
    if (!more && later) {
      std::int32_t page = later->page_begin, token = 0;
      fill_tile(job, *later, page, token, next);
    }
    return true;
  }
  std::int32_t row(std::size_t record) const { return job.plan.row_offsets[run.group] + static_cast<std::int32_t>(record / job.share()); }
  std::int32_t head(std::size_t record) const {
    return run.kv_head * static_cast<std::int32_t>(job.share()) + static_cast<std::int32_t>(record % job.share());
  }
  float const* query(std::size_t record) const {
    return job.q + (static_cast<std::size_t>(row(record)) * job.q_heads + head(record)) * job.key_width;
  }
  float* result(std::size_t record) const { return run.result + record * job.record_floats(); }
  float& page_lse(std::int32_t page, std::size_t record) const {
    std::size_t const page_row = static_cast<std::size_t>(page - job.plan.page_offsets[run.group]) * job.rows(run.group) + record / job.share();
    return job.page_lse[run.group_lse + page_row * job.q_heads + head(record)];
  }
  bool any_sees_tile(std::size_t first, std::size_t count) const {
    for (std::size_t record = first; record < first + count; ++record)
      if (job.plan.row_position[row(record)] >= tile.first_position) return true;
    return false;
  }
};

inline float log_sum_exp(float const* logits, std::size_t count) {
  Floats const d;
  FloatVec const none = hn::Set(d, empty_max);
  FloatVec top = none;
  for (std::size_t i = 0; i < count; i += lanes) top = hn::Max(top, hn::IfThenElse(hn::FirstN(d, count - i), hn::LoadU(d, logits + i), none));
  float const max = hn::GetLane(hn::MaxOfLanes(d, top));
  if (max == empty_max) return max;
  FloatVec sum = hn::Zero(d);
  for (std::size_t i = 0; i < count; i += lanes)
    sum = hn::Add(sum, hn::IfThenElseZero(hn::FirstN(d, count - i), exp_of_negative(d, hn::Sub(hn::LoadU(d, logits + i), hn::Set(d, max)))));
  return max + std::log(hn::GetLane(hn::SumOfLanes(d, sum)));
}

inline float log_add_exp(float a, float b) {
  float const top = std::max(a, b);
  return top == empty_max ? top : top + std::log(std::exp(a - top) + std::exp(b - top));
}

inline void report_pages(Work const& work, std::size_t record) {
  for (std::int32_t s = 0; s < work.tile.segments; ++s) {
    auto const [page, token, begin, end] = work.tile.segment[s];
    float& lse = work.page_lse(page, record);
    lse = log_add_exp(lse, log_sum_exp(work.weights + record * tile_keys + begin, static_cast<std::size_t>(end - begin)));
  }
}

/// The dot products of a record and a tile, in `weights`, become logits and then weights exp(logit - max so far); the record's denominators,
/// maximum and correction follow, and its page_lse if asked for.
inline void soften(Work const& work, std::size_t record) {
  Floats const d;
  hn::RebindToSigned<Floats> const positions;
  float* weights = work.weights + record * tile_keys;
  float* denom = work.result(record) + work.job.columns();
  auto const padded = static_cast<std::size_t>(work.tile.padded);
  auto const own = hn::Set(positions, work.job.plan.row_position[work.row(record)]);
  FloatVec const scale = hn::Set(d, work.job.scale), hidden = hn::Set(d, empty_max);
  FloatVec top = hidden;
  for (std::size_t n = 0; n < padded; n += lanes) {
    auto const later = hn::RebindMask(d, hn::Gt(hn::Load(positions, work.tile.position + n), own));
    FloatVec const logit = hn::IfThenElse(later, hidden, hn::Mul(hn::Load(d, weights + n), scale));
    hn::Store(logit, d, weights + n);
    top = hn::Max(top, logit);
  }
  if (work.job.page_lse) report_pages(work, record);

  float& max = work.maxima[record];
  float correction = 1;
  if (!hn::AllTrue(d, hn::Le(top, hn::Set(d, max)))) {
    float const raised = hn::GetLane(hn::MaxOfLanes(d, top));
    correction = std::exp(max - raised);
    max = raised;
  }
  work.corrections[record] = correction;
  FloatVec const base = hn::Set(d, max == empty_max ? 0.0f : max);
  FloatVec sum = hn::Mul(hn::Load(d, denom), hn::Set(d, correction));
  for (std::size_t n = 0; n < padded; n += lanes) {
    FloatVec const weight = exp_of_negative(d, hn::Sub(hn::Load(d, weights + n), base));
    hn::Store(weight, d, weights + n);
    sum = hn::Add(sum, weight);
  }
  hn::Store(sum, d, denom);
}

/// Joins one record's results of the runs of a group and KV head, in order, in the first of them, and stores maximum and denominator in job.out:
/// at the number that is returned.
inline std::size_t join_record(AttendJob const& job, Run const* runs, std::size_t count, std::size_t record) {
  Floats const d;
  std::size_t const records = job.records(runs->group), floats = job.record_floats(), columns = job.columns();
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
  return at;
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#endif
