#pragma once

#include "runtime/analyze/trace_reader.hpp"

namespace pikv::runtime::analyze {

/// A row in which a rank attends for 3 ms, waits for 1 ms and moves nothing.
inline StepRecord quiet_row(std::int64_t step, std::int32_t rank) {
  StepRecord row;
  row.step = step;
  row.rank = rank;
  row.begin = 0.004 * static_cast<double>(step);
  row.end = row.begin + 0.004;
  row.stage_s[static_cast<std::size_t>(Stage::attention)] = 0.003;
  row.stage_s[static_cast<std::size_t>(Stage::communication)] = 0.001;
  row.rows_decode = row.sequences = 8;
  row.pages_read = 100;
  row.memory[static_cast<std::size_t>(shards::Memory::payload)] = 4096;
  row.memory[static_cast<std::size_t>(shards::Memory::free)] = 4096;
  row.tokens_resident = 64;
  return row;
}

/// A trace about which there is nothing to say; tests change what they are about.
inline Trace quiet_trace(std::int32_t ranks, std::int64_t steps) {
  Trace trace;
  trace.path = "made.h5";
  trace.options = {{"batch", std::int64_t{8}},      {"page-tokens", std::int64_t{32}},  {"prefill-chunk", std::int64_t{256}},
                   {"in-process", std::int64_t{0}}, {"transport", std::string{"auto"}}, {"store", std::string{"sharded"}},
                   {"move", std::string{"auto"}},   {"home", std::string{"mod"}},       {"fault-plan", std::string{}}};
  for (std::int32_t rank = 0; rank < ranks; ++rank) trace.ranks.push_back(rank_record(rank, 0, "node" + std::to_string(rank), 16384));
  for (std::int64_t step = 0; step < steps; ++step)
    for (std::int32_t rank = 0; rank < ranks; ++rank) trace.steps.push_back(quiet_row(step, rank));
  return trace;
}

}   // namespace pikv::runtime::analyze
