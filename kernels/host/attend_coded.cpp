#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "kernels/coded.hpp"
#include "kernels/host/attend_run.hpp"
#include "kernels/host/coded_unit.hpp"
#include "kernels/host/parallel.hpp"
#include "kernels/host/scratch.hpp"
#include "kernels/own_basis.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/host/attend_coded.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/host/attend_coded_few-inl.hpp"
#include "kernels/host/attend_coded_many-inl.hpp"
#include "kernels/host/coded_map-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

/// Decode: up to this many records read pages unit by unit, four records at a time, straight from the codes.
inline constexpr std::size_t few_coded_records = 8;

/// A unit of a page of the plan, and the page to fetch meanwhile.
struct PlacedUnit {
  std::int32_t page, first;
  std::byte const *bytes, *next;
};

/// Up to four records of a run that read its pages unit by unit.
class FewRecords {
 public:
  FewRecords(AttendJob const& job, Run const& run, std::size_t first, std::size_t count, float* scratch)
      : job_{job}, run_{run}, layout_{job.coded->layout}, first_{first}, count_{count}, tokens_{std::min(layout_.page_tokens, unit_tokens)} {
    auto const take = [&scratch](std::size_t floats) { return std::exchange(scratch, scratch + (floats + 15) / 16 * 16); };
    std::size_t const k_width = k_head().width, v_width = v_head().width;
    dots_ = take(unit_records * batch_tokens);
    scaled_ = take(unit_records * std::max<std::size_t>(k_width, unit_tokens));
    mapped_ = take(unit_records * k_width);
    latent_ = take(unit_records * v_width);
    for (std::size_t m = 0; m < count; ++m) {
      std::size_t const record = first + m;
      row_[m] = job.plan.row_offsets[run.group] + static_cast<std::int32_t>(record / job.share());
      head_[m] = run.kv_head * job.share() + record % job.share();
      query_[m] = job.q + (static_cast<std::size_t>(row_[m]) * job.q_heads + head_[m]) * job.key_width;
    }
    if (lanes == 16) integers_ = integer_kernels();
    if (integers_) prepared_ = reinterpret_cast<std::byte*>(take(integers_->prepared_bytes(k_head().width) / sizeof(float)));
    fast_keys_ = is_fast(layout_.k_element, k_head());
    fast_values_ = is_fast(layout_.v_element, v_head());
    if (fast_keys_) integers_->prepare(query_, count, k_head().width, prepared_);
  }

  void do_batch(PlacedUnit const* units, std::size_t count) {
    CodedUnit keys[batch_units], values[batch_units];
    for (std::size_t u = 0; u < count; ++u) {
      keys[u] = unit_of(layout_, Part::keys, run_.kv_head, units[u].bytes, units[u].first);
      values[u] = unit_of(layout_, Part::values, run_.kv_head, units[u].bytes, units[u].first);
      fetch_ahead(layout_, run_.kv_head, units[u].bytes, units[u].next, keys[u], values[u]);
    }
    if (fast_keys_)
      integers_->score(layout_.k_element, keys, count, prepared_, count_, dots_);
    else
      for (std::size_t u = 0; u < count; ++u) score(units[u].bytes, keys[u], u);
    for (std::size_t m = 0; m < count_; ++m) soften(units, count, m);
    if (fast_values_) return integers_->weigh(layout_.v_element, values, count, dots_, count_, keep_, add_, result(0), job_.record_floats());
    for (std::size_t u = 0; u < count; ++u) {
      weigh(units[u].bytes, values[u], dots_ + u * unit_tokens);
      std::fill_n(keep_, count_, 1.0f);
    }
  }

 private:
  CodedHead const& k_head() const { return layout_.k[run_.kv_head]; }
  CodedHead const& v_head() const { return layout_.v[run_.kv_head]; }
  float* result(std::size_t m) const { return run_.result + (first_ + m) * job_.record_floats(); }
  float& maximum(std::size_t m) const { return run_.result[job_.records(run_.group) * job_.record_floats() + first_ + m]; }
  bool is_fast(Element element, CodedHead const& head) const {
    return integers_ && has_steps(element) && head.width % 16 == 0 && head.width <= integers_->most_width &&
           layout_.page_tokens >= 16 && head.basis == 0;
  }

  void score(std::byte const* page, CodedUnit const& keys, std::size_t u) {
    float const* queries[unit_records];
    std::copy_n(query_, count_, queries);
    if (k_head().basis != 0) {
      StoredBasis const basis{page + k_head().basis, job_.key_width, k_head().rank};
      for (std::size_t m = 0; m < count_; ++m) {
        queries[m] = mapped_ + m * keys.width;
        shift_[m][u] = query_in_basis(basis, query_[m], mapped_ + m * keys.width, keys.width);
      }
    }
    by_element(layout_.k_element, [&](auto of) HWY_ATTR { score_records<of()>(count_, keys, queries, scaled_, dots_ + u * unit_tokens); });
  }

  std::size_t visible(PlacedUnit const& at, std::size_t m) const {
    std::int32_t const seen = std::min(job_.plan.row_position[row_[m]] - job_.plan.first_position[at.page] + 1, job_.plan.tokens[at.page]) - at.first;
    return static_cast<std::size_t>(std::max(seen, 0));
  }

  /// Record m's dots become weights; its maximum and denominator take them in; keep_ and add_ are what the run's sums and the batch's are scaled by.
  void soften(PlacedUnit const* units, std::size_t count, std::size_t m) {
    Floats const d;
    float* const dots = dots_ + m * batch_tokens;
    auto const tokens = static_cast<std::size_t>(tokens_);
    FloatVec tops = hn::Set(d, empty_max);
    for (std::size_t u = 0; u < count; ++u) {
      FloatVec const top = scale_dots(dots + u * unit_tokens, tokens, visible(units[u], m), shift_[m][u], job_.scale);
      if (job_.page_lse) report(units[u].page, m, dots + u * unit_tokens);
      tops = hn::Max(tops, top);
    }
    float const top = hn::GetLane(hn::MaxOfLanes(d, tops)), base = top == empty_max ? 0 : top;
    FloatVec sum = hn::Zero(d);
    for (std::size_t u = 0; u < count; ++u) sum = hn::Add(sum, soften_logits(dots + u * unit_tokens, tokens, base));
    float& max = maximum(m);
    keep_[m] = add_[m] = 1;
    if (top > max) {
      keep_[m] = std::exp(max - top);
      max = top;
    } else if (top != empty_max) {
      add_[m] = std::exp(top - max);
    }
    float* const denom = result(m) + job_.columns();
    hn::Store(hn::MulAdd(hn::Set(d, keep_[m]), hn::Load(d, denom), hn::Mul(hn::Set(d, add_[m]), sum)), d, denom);
  }

  void report(std::int32_t page, std::size_t m, float const* logits) const {
    std::size_t const page_row = static_cast<std::size_t>(page - job_.plan.page_offsets[run_.group]) * job_.rows(run_.group) +
                                 static_cast<std::size_t>(row_[m] - job_.plan.row_offsets[run_.group]);
    float& lse = job_.page_lse[run_.group_lse + page_row * job_.q_heads + head_[m]];
    lse = log_add_exp(lse, log_sum_exp(logits, static_cast<std::size_t>(tokens_)));
  }

  void weigh(std::byte const* page, CodedUnit const& values, float const* weights) {
    if (v_head().basis != 0) return weigh_own(page, values, weights);
    by_element(layout_.v_element, [&](auto of) HWY_ATTR { weigh_records<of()>(count_, values, weights, scaled_, keep_, add_, result(0), job_.record_floats()); });
  }

  void weigh_own(std::byte const* page, CodedUnit const& values, float const* weights) {
    constexpr float none[unit_records] = {}, all[unit_records] = {1, 1, 1, 1};
    std::size_t const width = values.width;
    std::fill_n(latent_, count_ * width, 0.0f);
    by_element(layout_.v_element, [&](auto of) HWY_ATTR { weigh_records<of()>(count_, values, weights, scaled_, none, all, latent_, width); });
    StoredBasis const basis{page + v_head().basis, job_.value_width, v_head().rank};
    for (std::size_t m = 0; m < count_; ++m) {
      float const weight = std::accumulate(weights + m * batch_tokens, weights + m * batch_tokens + tokens_, 0.0f);
      add_rebuilt(basis, latent_ + m * width, weight, keep_[m], add_[m], result(m));
    }
  }

  AttendJob const& job_;
  Run const& run_;
  CodedLayout const& layout_;
  std::size_t first_, count_;
  std::int32_t tokens_;
  IntegerKernels const* integers_ = nullptr;
  float const* query_[unit_records] = {};
  std::int32_t row_[unit_records] = {};
  std::size_t head_[unit_records] = {};
  float *dots_, *scaled_, *mapped_, *latent_;
  std::byte* prepared_ = nullptr;
  bool fast_keys_ = false, fast_values_ = false;
  float shift_[unit_records][batch_units] = {}, keep_[unit_records] = {}, add_[unit_records] = {};
};

void do_few(AttendJob const& job, Run const& run, Run const* later_run, std::size_t records, float* scratch) {
  std::size_t const each = job.tile_floats(0) / (few_coded_records / unit_records) / 16 * 16;
  std::optional<FewRecords> quads[few_coded_records / unit_records];
  for (std::size_t first = 0; first < records; first += unit_records)
    quads[first / unit_records].emplace(job, run, first, std::min(unit_records, records - first), scratch + first / unit_records * each);
  PlacedUnit batch[batch_units];
  std::size_t count = 0;
  auto const finish = [&] {
    for (auto& quad : quads)
      if (quad) quad->do_batch(batch, count);
    count = 0;
  };
  for (std::int32_t page = run.page_begin; page < run.page_end; ++page) {
    std::int32_t later = page + static_cast<std::int32_t>(batch_units);
    if (later >= run.page_end) later = later_run ? std::min(later_run->page_begin + later - run.page_end, later_run->page_end - 1) : run.page_end - 1;
    for (std::int32_t first = 0; first < job.plan.tokens[page]; first += unit_tokens) {
      batch[count++] = {page, first, job.coded->page(job.plan.slots[page]), job.coded->page(job.plan.slots[later])};
      if (count == batch_units) finish();
    }
  }
  if (count > 0) finish();
}

std::size_t widest(AttendJob const& job) {
  std::size_t width = std::max(job.key_width, job.value_width);
  for (std::int32_t head = 0; head < job.kv_heads; ++head)
    width = std::max<std::size_t>(width, std::max(job.coded->layout.k[head].width, job.coded->layout.v[head].width));
  return std::max<std::size_t>(width, unit_tokens);
}

std::size_t unpacking_floats(AttendJob const& job) { return Unpacked::floats(widest(job)); }

void do_coded_run(AttendJob const& job, Run const& run, Run const* later, float* scratch) {
  std::size_t const records = job.records(run.group);
  if (records == 0) return;
  std::fill_n(run.result, records * job.record_floats(), 0.0f);
  std::fill_n(run.result + records * job.record_floats(), records, empty_max);
  Work work{job, run, nullptr, records, scratch};
  Unpacked const unpacked{scratch + (job.tile_floats(records) + 15) / 16 * 16, widest(job)};
  if (job.page_lse)
    for (std::int32_t page = run.page_begin; page < run.page_end; ++page)
      for (std::size_t record = 0; record < records; ++record) work.page_lse(page, record) = empty_max;
  if (records <= few_coded_records && job.page_tokens % 8 == 0) return do_few(job, run, later, records, scratch);
  while (work.next_tile()) {
    by_element(job.coded->layout.k_element, [&](auto of) HWY_ATTR { convert_coded_keys<of()>(work, unpacked); });
    all_blocks(Score{work});
    by_element(job.coded->layout.v_element, [&](auto of) HWY_ATTR { convert_coded_values<of()>(work, unpacked); });
    all_blocks(Weigh{work});
  }
}

/// out.max is that of the mapped queries still.
void join_coded_runs(AttendJob const& job, Run const* runs, std::size_t count) {
  CodedLayout const& layout = job.coded->layout;
  std::size_t const d = layout.head_dim;
  for (std::size_t record = 0; record < job.records(runs->group); ++record) {
    std::size_t const at = join_record(job, runs, count, record);
    float const* const sum = runs->result + record * job.record_floats();
    if (layout.v_map && !layout.v_map[runs->kv_head].identity())
      decode_sum(layout.v_map[runs->kv_head], d, sum, job.out.denom[at], job.out.sum + at * d);
    else
      std::copy_n(sum, d, job.out.sum + at * d);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pikv::kernels::host {
namespace {

/// Numbers of a key or value as host::attend sees it: the model's where each page has a basis of its own, else those that are kept.
std::size_t width_of(CodedHead const* heads, CodedLayout const& layout) {
  std::int32_t width = 0;
  for (std::int32_t head = 0; head < layout.kv_heads; ++head) width = std::max(width, heads[head].basis != 0 ? layout.head_dim : heads[head].width);
  return static_cast<std::size_t>(width);
}

}  // namespace

HWY_EXPORT(do_coded_run);
HWY_EXPORT(unpacking_floats);
HWY_EXPORT(join_coded_runs);
HWY_EXPORT(map_query);

void attend_coded(CodedPool const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse,
                  Stream&) {
  thread_local Scratch<float> mapped_queries, shifts;
  CodedLayout const& layout = pool.layout;
  std::size_t const d = layout.head_dim, key_width = width_of(layout.k, layout), heads = q_heads;
  std::size_t const rows = plan.groups > 0 ? plan.row_offsets[plan.groups] : 0;
  bool const as_they_are = !layout.k_map && key_width == d;
  float* const mapped = as_they_are ? nullptr : mapped_queries.at_least(rows * heads * key_width);
  float* const shift = as_they_are ? nullptr : shifts.at_least(rows * heads);
  if (!as_they_are)
    parallel_for(rows * heads, static_cast<double>(rows * heads * d * key_width), [&](std::size_t at, int) {
      LinearMap const map = layout.k_map ? layout.k_map[at % heads / (heads / layout.kv_heads)] : LinearMap{};
      shift[at] = scale * HWY_DYNAMIC_DISPATCH(map_query)(map, d, q + at * d, mapped + at * key_width, key_width);
    });
  AttendJob const job{
      nullptr, &pool, layout.kv_heads, layout.page_tokens, key_width, width_of(layout.v, layout), plan, as_they_are ? q : mapped, q_heads,
      scale,   out,   page_lse,          nullptr};
  do_all_runs(job, HWY_DYNAMIC_DISPATCH(unpacking_floats)(job), HWY_DYNAMIC_DISPATCH(do_coded_run), HWY_DYNAMIC_DISPATCH(join_coded_runs));
  if (!layout.k_map) return;
  for (std::size_t at = 0; at < rows * heads; ++at) out.max[at] += shift[at];
  if (!page_lse) return;
  for (std::int32_t g = 0; g < plan.groups; ++g) {
    std::size_t const first = static_cast<std::size_t>(plan.row_offsets[g]) * heads,
                      count = static_cast<std::size_t>(plan.row_offsets[g + 1]) * heads - first;
    for (std::int32_t page = plan.page_offsets[g]; page < plan.page_offsets[g + 1]; ++page, page_lse += count)
      for (std::size_t i = 0; i < count; ++i) page_lse[i] += shift[first + i];
  }
}

}  // namespace pikv::kernels::host
#endif
