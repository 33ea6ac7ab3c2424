#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "comm/error.hpp"
#include "comm/faults.hpp"
#include "tests/shards/store_runs.hpp"

namespace pikv::shards::testing {

/// A row of the matrix: one plan but for its seed, and all that came of its runs.
struct Row {
  std::string name;
  comm::FaultPlan plan;
  bool deadly = false;   // any fault ends the run
  Outcome outcome = {};
  comm::FaultCounts faults = {};
  std::uint64_t runs = 0, runs_with_faults = 0, ended = 0;
  std::string sentence = {};   // of the last run that ended
};

inline void add(comm::FaultCounts& sum, comm::FaultCounts const& part) {
  for (auto const& kind : comm::fault_kinds) sum.*kind.count += part.*kind.count;
}

inline comm::FaultPlan on(comm::FaultPlan plan, bool put, bool get, bool message) {
  plan.on_put = put;
  plan.on_get = get;
  plan.on_message = message;
  return plan;
}

inline std::vector<Row> matrix() {
  std::vector<Row> rows;
  auto const row = [&](std::string const& name, comm::FaultPlan const& plan, bool message, bool deadly) {
    if (message) {
      rows.push_back({name + " message", on(plan, false, false, true), deadly});
      return;
    }
    rows.push_back({name + " put", on(plan, true, false, false)});
    if (plan.duplicate == 0 && plan.reorder == 0) rows.push_back({name + " get", on(plan, false, true, false)});
    rows.push_back({name + " put get", on(plan, true, true, false)});
  };
  row("drop", {.drop = 0.2}, false, false);
  row("delay", {.delay = 0.5}, false, false);
  row("duplicate", {.duplicate = 0.5}, false, false);
  row("reorder", {.reorder = 0.5}, false, false);
  row("flip", {.flip = 0.2}, false, false);
  row("truncate", {.truncate = 0.2}, false, false);
  row("stall", {.stall = 0.05}, false, false);
  row("mixed", {.drop = 0.05, .delay = 0.05, .flip = 0.05, .truncate = 0.05, .stall = 0.01}, false, false);
  rows.push_back({"all put get", on({.drop = 0.05, .delay = 0.1, .duplicate = 0.1, .reorder = 0.1, .flip = 0.05, .truncate = 0.05, .stall = 0.01},
                                    true, true, false)});
  row("drop", {.drop = 0.005}, true, true);
  row("flip", {.flip = 0.005}, true, true);
  row("truncate", {.truncate = 0.005}, true, true);
  row("delay", {.delay = 0.2}, true, false);
  row("stall", {.stall = 0.05}, true, false);
  return rows;
}

inline StoreOptions options_of(Row const& row, std::uint64_t seed) {
  StoreOptions options = small_options();
  options.layers = 1;
  options.q_heads = 2;
  options.layout.kv_heads = 1;
  options.fingerprint = page_fingerprint({1, 2}, options.layout);
  bool const fetch = row.plan.on_get || seed % 2 == 0;
  options.move = fetch ? Move::page : Move::query;
  options.replica_slots = fetch ? 8 : 0;   // few, so that pages are fetched again and again
  return options;
}

/// This rank's part of a run under the row's plan with this seed. Its faults are added also if the run ends.
inline void run_rank(comm::World& world, Row& row, std::uint64_t seed, StoreOptions const& options, comm::FaultCounts& faults) {
  comm::FaultPlan plan = row.plan;
  plan.seed = seed;
  auto const faulty = comm::make_faulty_world(world, plan);
  SmallEngine::Plan mine;
  mine.length = 64;
  mine.rows = 4;
  mine.streams = 3;
  mine.before = [&](Step step) { faulty->set_step(step); };
  try {
    run_on(*faulty, options, mine, row.outcome);
  } catch (...) {
    add(faults, faulty->fault_counts());
    throw;
  }
  add(faults, faulty->fault_counts());
}

inline std::uint64_t faults_wanted(std::uint64_t by_default) {
  char const* const given = std::getenv("PIKV_SOAK_FAULTS");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : by_default;
}

}   // namespace pikv::shards::testing
