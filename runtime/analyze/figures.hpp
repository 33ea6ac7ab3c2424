#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "runtime/analyze/trace_reader.hpp"
#include "runtime/latency.hpp"
#include "runtime/statistics.hpp"

namespace pikv::runtime::analyze {

/// The counts of a step, by the names the trace gives them.
struct Counter {
  char const* name;
  std::uint32_t StepRecord::*of;
};
inline constexpr std::array counters = {Counter{"pages_sealed", &StepRecord::pages_sealed},
                                        Counter{"pages_pushed", &StepRecord::pages_pushed},
                                        Counter{"pages_acknowledged", &StepRecord::pages_acknowledged},
                                        Counter{"pages_fetched", &StepRecord::pages_fetched},
                                        Counter{"pages_read", &StepRecord::pages_read},
                                        Counter{"replica_hits", &StepRecord::replica_hits},
                                        Counter{"tier_reads", &StepRecord::tier_reads},
                                        Counter{"checked", &StepRecord::checked},
                                        Counter{"scrubbed", &StepRecord::scrubbed},
                                        Counter{"corrupt", &StepRecord::corrupt},
                                        Counter{"stale", &StepRecord::stale},
                                        Counter{"lost", &StepRecord::lost},
                                        Counter{"timeout", &StepRecord::timeout},
                                        Counter{"refetched", &StepRecord::refetched},
                                        Counter{"rewinds", &StepRecord::rewinds},
                                        Counter{"events_dropped", &StepRecord::events_dropped}};

/// Sums over steps, of one rank or several.
struct Sums {
  std::int64_t rows_decode = 0, rows_prefill = 0, sequences = 0;
  std::array<double, stages> stage_s{};
  std::array<std::uint64_t, purposes> bytes{}, messages{};
  std::array<std::uint64_t, localities> bytes_by_locality{};
  std::array<std::uint64_t, counters.size()> counts{};

  void add(StepRecord const& row);
  double seconds() const;   // all stages
  double busy_s() const;    // without communication, which is mostly waiting for others
  std::uint64_t bytes_to_others() const;
  std::uint64_t count(std::uint32_t StepRecord::*of) const;
  std::int64_t rows() const { return rows_decode + rows_prefill; }
};

/// Three loads that a placement balances, each a number per rank.
enum class Load { expert, memory, communication };   // pages read; KV bytes resident; bytes to other ranks
inline constexpr std::size_t loads = 3;
char const* to_string(Load load);

/// Population standard deviation / mean. None below two values, or where all are 0.
std::optional<double> variation(std::span<double const> values);

/// Consecutive steps, all ranks together.
struct Window {
  std::int64_t first_step = 0, last_step = 0;
  double begin_s = 0, end_s = 0;
  Sums sums;
  std::array<std::uint64_t, shards::memory_categories> memory{};   // bytes at the end of the last step
  std::uint64_t tokens_resident = 0;                               // the same moment
  std::array<std::optional<double>, loads> variation{};            // over ranks
};

struct RankFigures {
  Sums sums;
  std::uint64_t memory_peak_bytes = 0;   // resident, largest at the end of a step
  std::array<double, loads> load{};      // of the whole run; memory: the mean over steps
  std::int64_t steps_slowest = 0;        // steps in which no rank was busy for longer
};

/// A stage that takes a rank longer than the others.
struct Straggler {
  std::int32_t rank = 0;
  Stage stage = Stage::other;
  double seconds = 0, others_s = 0;   // of the rank, mean of the others; over the run
};

struct Figures {
  std::int64_t steps = 0;
  double seconds = 0;   // on the job's clock, first step begins .. last step ends
  Sums all;
  std::vector<RankFigures> ranks;
  std::array<std::optional<double>, loads> variation{};   // over ranks, of RankFigures::load
  std::array<double, loads> max_over_mean{};              // 0 where the load is
  std::vector<Window> quarters, windows;                  // the run in 4 and in up to 64 parts of as many steps (the last parts may have one less)
  std::vector<Straggler> stragglers;                      // the furthest behind first; at least a tenth above the others and 1 % of the time
  double waiting_share = 0;                               // of all ranks' time: waiting for the busiest rank of each step
  std::int64_t prompt_tokens = 0, generated = 0;
  std::optional<Percentiles> ttft_s, tpot_s;
};

Figures figures_of(Trace const& trace);

std::uint64_t resident(std::array<std::uint64_t, shards::memory_categories> const& memory);

}   // namespace pikv::runtime::analyze
