#include "runtime/trace_rows.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "shards/account.hpp"

namespace pikv::runtime {
namespace {

template <std::size_t N>
FixedText<N> fixed(std::string_view text) {
  std::size_t length = std::min(text.size(), N);
  if (length < text.size())
    while (length > 0 && (text[length] & '\xC0') == '\x80') --length;
  FixedText<N> cut{};
  std::copy_n(text.begin(), length, cut.begin());
  return cut;
}

/// Names element i of an array that Enum indexes: before + to_string + after.
template <typename Enum>
auto named(char const* before, char const* after) {
  return [=](std::size_t i) { return std::string{before} + to_string(static_cast<Enum>(i)) + after; };
}

}  // namespace

RankRecord rank_record(std::int32_t rank, std::int32_t host, std::string_view host_name, std::uint64_t kv_capacity_bytes) {
  return {.rank = rank, .host = host, .host_name = fixed<64>(host_name), .kv_capacity_bytes = kv_capacity_bytes};
}

RequestRecord request_record(std::string_view id, Result const& result) {
  shards::StreamId const stream = stream_of(result.index);
  return {.index = result.index,
          .id = fixed<64>(id),
          .home = result.home,
          .prompt_tokens = result.prompt_tokens,
          .generated = static_cast<std::int32_t>(result.tokens.size()),
          .generated_before = result.generated_before,
          .finish = fixed<8>(to_string(result.finish)),
          .arrival = result.arrival,
          .first_token = result.first_token,
          .end = result.end,
          .rewinds = result.rewinds,
          .stream_hi = stream.hi,
          .stream_lo = stream.lo};
}

FaultRecord fault_record(std::int64_t step, std::int32_t rank, comm::FaultCounts const& now, comm::FaultCounts const& before) {
  FaultRecord row{step, rank, {}};
  for (std::size_t i = 0; i < row.times.size(); ++i) row.times[i] = now.*comm::fault_kinds[i].count - before.*comm::fault_kinds[i].count;
  return row;
}

hdf5::RowType rank_rows() {
  return hdf5::RowType{}
      .add("rank", &RankRecord::rank)
      .add("host", &RankRecord::host)
      .add("host_name", &RankRecord::host_name)
      .add("kv_capacity_bytes", &RankRecord::kv_capacity_bytes);
}

hdf5::RowType request_rows() {
  return hdf5::RowType{}
      .add("index", &RequestRecord::index)
      .add("id", &RequestRecord::id)
      .add("home", &RequestRecord::home)
      .add("prompt_tokens", &RequestRecord::prompt_tokens)
      .add("generated", &RequestRecord::generated)
      .add("generated_before", &RequestRecord::generated_before)
      .add("finish", &RequestRecord::finish)
      .add("arrival_s", &RequestRecord::arrival)
      .add("first_token_s", &RequestRecord::first_token)
      .add("end_s", &RequestRecord::end)
      .add("rewinds", &RequestRecord::rewinds)
      .add("stream_hi", &RequestRecord::stream_hi)
      .add("stream_lo", &RequestRecord::stream_lo);
}

hdf5::RowType step_rows() {
  return hdf5::RowType{}
      .add("step", &StepRecord::step)
      .add("rank", &StepRecord::rank)
      .add("begin_s", &StepRecord::begin)
      .add("end_s", &StepRecord::end)
      .add_each(&StepRecord::stage_s, named<Stage>("stage_", "_s"))
      .add("rows_decode", &StepRecord::rows_decode)
      .add("rows_prefill", &StepRecord::rows_prefill)
      .add("sequences", &StepRecord::sequences)
      .add_each(&StepRecord::bytes, named<Purpose>("", "_bytes"))
      .add_each(&StepRecord::messages, named<Purpose>("", "_messages"))
      .add_each(&StepRecord::bytes_by_locality, named<Locality>("to_", "_bytes"))
      .add("exchanges", &StepRecord::exchanges)
      .add("pages_sealed", &StepRecord::pages_sealed)
      .add("pages_pushed", &StepRecord::pages_pushed)
      .add("pages_acknowledged", &StepRecord::pages_acknowledged)
      .add("pages_fetched", &StepRecord::pages_fetched)
      .add("pages_read", &StepRecord::pages_read)
      .add("replica_hits", &StepRecord::replica_hits)
      .add("tier_reads", &StepRecord::tier_reads)
      .add("checked", &StepRecord::checked)
      .add("scrubbed", &StepRecord::scrubbed)
      .add("corrupt", &StepRecord::corrupt)
      .add("stale", &StepRecord::stale)
      .add("lost", &StepRecord::lost)
      .add("timeout", &StepRecord::timeout)
      .add("refetched", &StepRecord::refetched)
      .add("rewinds", &StepRecord::rewinds)
      .add("events_dropped", &StepRecord::events_dropped)
      .add_each(&StepRecord::memory, named<shards::Memory>("memory_", "_bytes"))
      .add_each(&StepRecord::tiers, [](std::size_t i) { return std::string{"tier_"} + to_string(static_cast<shards::TierKind>(i + 1)) + "_bytes"; })
      .add("pages_home", &StepRecord::pages_home)
      .add("pages_owned", &StepRecord::pages_owned)
      .add("tokens_resident", &StepRecord::tokens_resident);
}

hdf5::RowType pages_by_owner_rows() {
  return hdf5::RowType{}
      .add("step", &PagesByOwner::step)
      .add("owner", &PagesByOwner::owner)
      .add("home", &PagesByOwner::home)
      .add("pages", &PagesByOwner::pages);
}

hdf5::RowType fault_rows() {
  return hdf5::RowType{}
      .add("step", &FaultRecord::step)
      .add("rank", &FaultRecord::rank)
      .add_each(&FaultRecord::times, [](std::size_t i) { return std::string{comm::fault_kinds[i].name}; });
}

hdf5::RowType event_rows() {
  using Row = shards::PageEventRow;
  std::vector<std::string> kinds;
  for (std::size_t i = 0; i < shards::page_event_kinds; ++i) kinds.emplace_back(to_string(static_cast<shards::PageEvent>(i)));
  return hdf5::RowType{}
      .add("step", &Row::step)
      .add("rank", &Row::rank)
      .add_named("event", &Row::event, std::move(kinds))
      .add("stream_hi", &Row::stream_hi)
      .add("stream_lo", &Row::stream_lo)
      .add("layer", &Row::layer)
      .add("block", &Row::block)
      .add("peer", &Row::peer)
      .add("slot", &Row::slot)
      .add("generation", &Row::generation)
      .add("bytes", &Row::bytes);
}

hdf5::RowType plan_rows() {
  return hdf5::RowType{}
      .add("step", &PlanRecord::step)
      .add("first_step", &PlanRecord::first_step)
      .add("epoch", &PlanRecord::epoch)
      .add("reason", &PlanRecord::reason)
      .add("adopted", &PlanRecord::adopted)
      .add("imbalance", &PlanRecord::imbalance)
      .add("predicted", &PlanRecord::predicted)
      .add("saved_bytes", &PlanRecord::saved_bytes)
      .add("cost_bytes", &PlanRecord::cost_bytes)
      .add("page_bytes", &PlanRecord::page_bytes);
}

hdf5::RowType plan_load_rows() {
  return hdf5::RowType{}
      .add("step", &PlanLoad::step)
      .add("rank", &PlanLoad::rank)
      .add("weight_before", &PlanLoad::weight_before)
      .add("weight", &PlanLoad::weight)
      .add("pages", &PlanLoad::pages)
      .add("bytes", &PlanLoad::bytes)
      .add("reads", &PlanLoad::reads)
      .add_each(&PlanLoad::bytes_by_locality, named<Locality>("to_", "_bytes"));
}

hdf5::RowType plan_bucket_rows() {
  return hdf5::RowType{}
      .add("step", &PlanBucket::step)
      .add("rank", &PlanBucket::rank)
      .add("bucket", &PlanBucket::bucket)
      .add("pages", &PlanBucket::pages)
      .add("reads", &PlanBucket::reads);
}

hdf5::RowType plan_place_rows() {
  return hdf5::RowType{}
      .add("step", &PlanPlace::step)
      .add("bucket", &PlanPlace::bucket)
      .add("part", &PlanPlace::part)
      .add("rank", &PlanPlace::rank);
}

}  // namespace pikv::runtime
