// Faults of every kind, alone and mixed, on puts, gets and messages of seeded runs in process: each output is compared with attention over
// the true keys and values, so a wrong page that was accepted anywhere shows as a wrong output. Puts and gets may suffer anything: outputs
// are right. A message that is late changes nothing; one that is lost or damaged ends the run with one sentence. Nothing hangs: the clock is
// virtual, and a deadline that passes shows at once.
// PIKV_SOAK_FAULTS=1000000 fault_soak_test   runs until so many faults took place (default: 100000).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "comm/error.hpp"
#include "comm/faults.hpp"
#include "tests/shards/store_runs.hpp"

namespace pikv::shards::testing {
namespace {

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

void add(comm::FaultCounts& sum, comm::FaultCounts const& part) {
  for (auto const& kind : comm::fault_kinds) sum.*kind.count += part.*kind.count;
}

comm::FaultPlan on(comm::FaultPlan plan, bool put, bool get, bool message) {
  plan.on_put = put;
  plan.on_get = get;
  plan.on_message = message;
  return plan;
}

std::vector<Row> matrix() {
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

StoreOptions options_of(Row const& row, std::uint64_t seed) {
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

void run_once(Row& row, std::uint64_t seed, StoreOptions const& options, int ranks) {
  comm::FaultPlan plan = row.plan;
  plan.seed = seed;
  comm::FaultCounts faults;
  try {
    comm::run_inprocess({.ranks = ranks, .seed = seed}, [&](comm::World& world) {
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
    });
  } catch (RunError const& error) {
    ++row.ended;
    row.sentence = error.what();
  }
  ++row.runs;
  row.runs_with_faults += faults.total() > 0 ? 1 : 0;
  add(row.faults, faults);
}

std::uint64_t faults_wanted() {
  char const* const given = std::getenv("PIKV_SOAK_FAULTS");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 100000;
}

void print(std::vector<Row> const& rows) {
  fmt::print("{:<20}{:>8}{:>8}{:>10}{:>10}{:>12}{:>10}{:>10}{:>10}\n", "plan", "runs", "ended", "faults", "corrupt", "refetched", "stale", "rewinds",
             "outputs");
  comm::FaultCounts faults;
  std::uint64_t runs = 0, outputs = 0;
  for (Row const& row : rows) {
    Counts const& c = row.outcome.counts;
    fmt::print("{:<20}{:>8}{:>8}{:>10}{:>10}{:>12}{:>10}{:>10}{:>10}\n", row.name, row.runs, row.ended, row.faults.total(), c.corrupt, c.refetched,
               c.stale, row.outcome.rewinds, row.outcome.outputs);
    add(faults, row.faults);
    runs += row.runs;
    outputs += row.outcome.outputs;
  }
  std::string kinds;
  for (auto const& kind : comm::fault_kinds) kinds += fmt::format(" {} {}", faults.*kind.count, kind.name);
  fmt::print("{} faults in {} runs on 2 to 5 ranks:{}; {} outputs compared, none wrong\n", faults.total(), runs, kinds, outputs);
}

TEST(FaultSoak, NoWrongPageIsAcceptedAndNothingHangs) {
  std::vector<Row> rows = matrix();
  std::uint64_t faults = 0, seed = 0;
  while (faults < faults_wanted())
    for (Row& row : rows) {
      ++seed;
      std::uint64_t const before = row.faults.total();
      std::uint64_t const round = seed / rows.size();
      run_once(row, seed, options_of(row, round), 2 + static_cast<int>((seed + round) % 4));
      faults += row.faults.total() - before;
      ASSERT_LT(row.outcome.worst, 2e-6) << row.name << ": replay with seed " << seed;
    }
  print(rows);
  for (Row const& row : rows) {
    EXPECT_GT(row.faults.total(), 0u) << row.name;
    EXPECT_EQ(row.ended, row.deadly ? row.runs_with_faults : 0) << row.name << ": " << row.sentence;
    EXPECT_EQ(row.sentence.find('\n'), std::string::npos);
    bool const damages = row.plan.drop + row.plan.flip + row.plan.truncate > 0;
    EXPECT_EQ(row.outcome.counts.corrupt > 0, damages && !row.deadly) << row.name;
  }
}

TEST(FaultSoak, ASeedReplays) {
  for (Row const& row : matrix()) {
    Row a = row, b = row;
    run_once(a, 42, options_of(row, 42), 3);
    run_once(b, 42, options_of(row, 42), 3);
    for (auto const& kind : comm::fault_kinds) EXPECT_EQ(a.faults.*kind.count, b.faults.*kind.count) << row.name;
    EXPECT_EQ(a.outcome.counts.corrupt, b.outcome.counts.corrupt);
    EXPECT_EQ(a.outcome.counts.pages_pushed, b.outcome.counts.pages_pushed);
    EXPECT_EQ(a.sentence, b.sentence);
  }
}

// The scrub takes no part in the schedule, so a false alarm is all that could make a difference.
TEST(FaultSoak, TheScrubRaisesNoFalseAlarmWhileSlotsAreWrittenRetiredAndUsedAgain) {
  for (Row const& row : matrix())
    for (std::uint64_t seed = 1; seed <= 2; ++seed) {
      Row without = row, with = row;
      StoreOptions options = options_of(row, seed);
      options.scrub_bytes_per_step = 0;
      run_once(without, seed, options, 3);
      options.scrub_bytes_per_step = 1 << 20;
      run_once(with, seed, options, 3);
      for (auto const count : {&Counts::corrupt, &Counts::stale, &Counts::pages_pushed, &Counts::pages_fetched, &Counts::rewinds})
        EXPECT_EQ(without.outcome.counts.*count, with.outcome.counts.*count) << row.name << ", seed " << seed;
      EXPECT_EQ(without.outcome.counts.scrubbed, 0u);
    }
}

}   // namespace
}   // namespace pikv::shards::testing
