// Faults on every put and get of seeded runs in process: each output is compared with attention over the true keys and values, so a wrong
// page that was accepted anywhere shows as a wrong output. A run either gives right outputs or ends with one sentence; none hangs.
#include <gtest/gtest.h>

#include <cstdlib>

#include "comm/error.hpp"
#include "comm/faults.hpp"
#include "tests/shards/store_runs.hpp"

namespace pikv::shards::testing {
namespace {

comm::FaultPlan plan_of(std::uint64_t seed) {
  comm::FaultPlan plan;
  plan.seed = seed;
  plan.drop = plan.flip = plan.truncate = 0.03 + 0.01 * static_cast<double>(seed % 5);
  plan.delay = plan.duplicate = plan.reorder = 0.05;
  plan.stall = 0.002;
  return plan;
}

struct Soak {
  Outcome outcome;
  std::uint64_t faults = 0, ended = 0;
};

void soak(std::uint64_t seed, Soak& soak) {
  StoreOptions options = small_options();
  options.layers = 1;
  options.q_heads = 2;
  options.layout.kv_heads = 1;
  options.fingerprint = page_fingerprint({1, 2}, options.layout);
  options.move = seed % 2 == 0 ? Move::page : Move::query;
  options.replica_slots = seed % 2 == 0 ? 8 : 0;   // few, so that pages are fetched again and again
  int const ranks = 2 + static_cast<int>(seed % 3);
  SmallEngine::Plan plan;
  plan.length = 64;
  plan.rows = 4;
  plan.streams = 3;
  try {
    comm::run_inprocess({.ranks = ranks, .seed = seed}, [&](comm::World& world) {
      auto const faulty = comm::make_faulty_world(world, plan_of(seed));
      SmallEngine::Plan mine = plan;
      mine.before = [&](Step step) { faulty->set_step(step); };
      run_on(*faulty, options, mine, soak.outcome);
      soak.faults += faulty->fault_counts().total();
    });
  } catch (RunError const& error) {
    std::printf("seed %llu ended: %s\n", static_cast<unsigned long long>(seed), error.what());
    ++soak.ended;   // sixteen damaged pushes in a row: the job ends and says so
  }
}

std::uint64_t faults_wanted() {
  char const* const given = std::getenv("PIKV_SOAK_FAULTS");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 100000;
}

TEST(FaultSoak, NoWrongPageIsAcceptedAndNothingHangs) {
  Soak all;
  std::uint64_t seed = 0;
  for (; all.faults < faults_wanted(); ++seed) {
    soak(seed, all);
    ASSERT_LT(all.outcome.worst, 2e-6) << "replay with seed " << seed;
  }
  RecordProperty("runs", static_cast<int>(seed));
  std::printf("%llu faults in %llu runs: %llu outputs right, %llu corrupt pages refused, %llu refetched, %llu rewinds, %llu runs ended with an error\n",
              static_cast<unsigned long long>(all.faults), static_cast<unsigned long long>(seed), static_cast<unsigned long long>(all.outcome.outputs),
              static_cast<unsigned long long>(all.outcome.counts.corrupt), static_cast<unsigned long long>(all.outcome.counts.refetched),
              static_cast<unsigned long long>(all.outcome.rewinds), static_cast<unsigned long long>(all.ended));
  EXPECT_GT(all.outcome.counts.corrupt, 0u);
  EXPECT_GT(all.outcome.counts.refetched, 0u);
  EXPECT_EQ(all.ended, 0u);
}

TEST(FaultSoak, ASeedReplays) {
  Soak a, b;
  soak(42, a);
  soak(42, b);
  EXPECT_EQ(a.faults, b.faults);
  EXPECT_EQ(a.outcome.counts.corrupt, b.outcome.counts.corrupt);
  EXPECT_EQ(a.outcome.counts.pages_pushed, b.outcome.counts.pages_pushed);
}

}  // namespace
}  // namespace pikv::shards::testing
