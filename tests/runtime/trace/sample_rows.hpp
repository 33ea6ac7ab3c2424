#pragma once

#include <array>
#include <string>

#include "runtime/trace.hpp"

namespace pikv::runtime::test {

/// Rows whose every field is a number that check_trace.py computes again from (step, rank).
inline StepRecord sample_step(std::int64_t step, std::int32_t rank) {
  StepRecord row;
  row.step = step;
  row.rank = rank;
  row.begin = 0.5 * static_cast<double>(step);
  row.end = row.begin + 0.25;
  std::uint64_t number = 1000 * static_cast<std::uint64_t>(rank) + static_cast<std::uint64_t>(step);
  for (auto& seconds : row.stage_s) seconds = static_cast<double>(number++);
  for (auto* field : {&row.rows_decode, &row.rows_prefill, &row.sequences}) *field = static_cast<std::int32_t>(number++);
  for (auto& bytes : row.bytes) bytes = number++;
  for (auto& messages : row.messages) messages = number++;
  for (auto& bytes : row.bytes_by_locality) bytes = number++;
  for (auto* field : {&row.exchanges, &row.pages_sealed, &row.pages_pushed, &row.pages_acknowledged, &row.pages_fetched, &row.pages_read,
                      &row.replica_hits, &row.tier_reads, &row.checked, &row.scrubbed, &row.corrupt, &row.stale, &row.lost, &row.timeout, &row.refetched, &row.rewinds, &row.events_dropped})
    *field = static_cast<std::uint32_t>(number++);
  for (auto& bytes : row.memory) bytes = number++;
  for (auto& bytes : row.tiers) bytes = number++;
  row.pages_home = static_cast<std::uint32_t>(number++);
  row.pages_owned = static_cast<std::uint32_t>(number++);
  row.tokens_resident = number;
  return row;
}

inline RequestRecord sample_request(std::int32_t rank) {
  Result result;
  result.index = 100 + rank;
  result.home = rank;
  result.prompt_tokens = 7;
  result.tokens = {1, 2, 3};
  result.finish = Finish::stop;
  result.arrival = 1.5;
  result.first_token = 2.5;
  result.end = 4;
  result.rewinds = 2;
  return request_record("größe-" + std::to_string(rank) + std::string(80, 'x'), result);
}

inline shards::PageEventRow sample_event(std::int64_t step, std::int32_t rank) {
  return {.step = step,
          .rank = rank,
          .event = static_cast<std::int32_t>(step % static_cast<std::int64_t>(shards::page_event_kinds)),
          .stream_hi = ~std::uint64_t{0} - static_cast<std::uint64_t>(step),
          .stream_lo = static_cast<std::uint64_t>(rank),
          .layer = 2,
          .block = static_cast<std::int32_t>(step / 2),
          .peer = rank - 1,
          .slot = -1,
          .generation = 7,
          .bytes = 4096};
}

inline RunMetadata sample_metadata(std::int32_t rank) {
  ModelConfig model;
  model.architecture = "MixtralForCausalLM";
  model.layers = 3;
  GenerateOptions options;
  options.page_tokens = 16;
  options.given = {{"page-tokens", {}}, {"trace", {}}};
  return {.version = "0.1.0",
          .commit = "abc",
          .command_line = "pikv generate --prompt " + std::string(100'000, 'y'),
          .started = "2025-01-31T12:00:00Z",
          .resumed_from = "",
          .libraries = {{"hdf5", "1.10"}},
          .options = option_attributes(options),
          .model = model_attributes(model, 12345),
          .kv_capacity_bytes = 4096 * static_cast<std::uint64_t>(rank + 1),
          .most_events = trace_batch_steps};
}

/// `steps` steps, an event in each, in batches of 64; a request of every rank but the first (so that one brings no rows), pages by owner per batch.
inline void add_sample(TraceWriter& trace, std::int32_t rank, std::int32_t ranks, std::int64_t steps) {
  if (rank > 0 || ranks == 1) trace.add(sample_request(rank));
  for (std::int64_t step = 0; step < steps; ++step) {
    trace.add(sample_step(step, rank));
    trace.add(std::array{sample_event(step, rank)});
    if (step % trace_batch_steps != trace_batch_steps - 1) continue;
    for (std::int32_t home = 0; home < ranks; ++home)
      trace.add(PagesByOwner{.step = step, .owner = rank, .home = home, .pages = static_cast<std::uint64_t>(10 * rank + home)});
    trace.add(fault_record(step, rank, {.drop = 3, .stall = static_cast<std::uint64_t>(step)}, {.drop = 1}));
    trace.write_batch();
  }
}

}  // namespace pikv::runtime::test
