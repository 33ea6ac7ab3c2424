// Faults of every kind, alone and mixed, on puts, gets and messages of seeded runs in process: each output is compared with attention over
// the true keys and values, so a wrong page that was accepted anywhere shows as a wrong output. Puts and gets may suffer anything: outputs
// are right. A message that is late changes nothing; one that is lost or damaged ends the run with one sentence. Nothing hangs: the clock is
// virtual, and a deadline that passes shows at once.
// PIKV_SOAK_FAULTS=1000000 fault_soak_test   runs until so many faults took place (default: 100000). fault_soak_mpi_test.cpp: the same over MPI, UCX.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/shards/fault_matrix.hpp"

namespace pikv::shards::testing {
namespace {

void run_once(Row& row, std::uint64_t seed, StoreOptions const& options, int ranks) {
  comm::FaultCounts faults;
  try {
    comm::run_inprocess({.ranks = ranks, .seed = seed}, [&](comm::World& world) { run_rank(world, row, seed, options, faults); });
  } catch (RunError const& error) {
    ++row.ended;
    row.sentence = error.what();
  }
  ++row.runs;
  row.runs_with_faults += faults.total() > 0 ? 1 : 0;
  add(row.faults, faults);
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
  while (faults < faults_wanted(100000))
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
