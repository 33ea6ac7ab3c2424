#include "runtime/analyze/figures.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "made_trace.hpp"
#include "runtime/analyze/windows.hpp"

namespace pikv::runtime::analyze {
namespace {

using ::testing::DoubleNear;
using ::testing::Optional;

TEST(Variation, IsThePopulationDeviationOverTheMean) {
  EXPECT_THAT(variation(std::vector<double>{10, 12, 8, 10}), Optional(DoubleNear(0.1414, 1e-4)));   // methods.md 5.7
  EXPECT_THAT(variation(std::vector<double>{5, 5, 5}), Optional(0));
  EXPECT_THAT(variation(std::vector<double>{1, 0}), Optional(1));
}

TEST(Variation, OfOneValueOrOfNothingIsNone) {
  EXPECT_EQ(variation(std::vector<double>{7}), std::nullopt);
  EXPECT_EQ(variation(std::vector<double>{0, 0}), std::nullopt);
  EXPECT_EQ(variation(std::vector<double>{}), std::nullopt);
}

TEST(Figures, OfAnEmptyTraceAreZeros) {
  auto const figures = figures_of(quiet_trace(2, 0));
  EXPECT_EQ(figures.steps, 0);
  EXPECT_EQ(figures.seconds, 0);
  EXPECT_TRUE(figures.windows.empty());
  EXPECT_EQ(figures.waiting_share, 0);
}

TEST(Figures, SumStagesOverStepsByRank) {
  auto const figures = figures_of(quiet_trace(3, 10));
  EXPECT_EQ(figures.steps, 10);
  EXPECT_DOUBLE_EQ(figures.seconds, 0.04);
  EXPECT_DOUBLE_EQ(figures.ranks[2].sums.stage_s[0], 0.03);
  EXPECT_DOUBLE_EQ(figures.ranks[2].sums.busy_s(), 0.03);
  EXPECT_DOUBLE_EQ(figures.all.seconds(), 0.12);
  EXPECT_EQ(figures.all.count(&StepRecord::pages_read), 3000u);
  EXPECT_TRUE(figures.stragglers.empty());
}

TEST(Figures, SumsPass32Bits) {
  auto trace = quiet_trace(1, 3);
  for (auto& row : trace.steps) row.pages_read = UINT32_MAX;
  EXPECT_EQ(figures_of(trace).all.count(&StepRecord::pages_read), 3 * std::uint64_t{UINT32_MAX});
}

TEST(Figures, AStragglerIsNamedWithItsStageAndHowMuch) {
  auto trace = quiet_trace(3, 10);
  for (auto& row : trace.steps)
    if (row.rank == 1) row.stage_s[static_cast<std::size_t>(Stage::ffn)] = 0.002;
  auto const figures = figures_of(trace);
  ASSERT_EQ(figures.stragglers.size(), 1u);
  EXPECT_EQ(figures.stragglers[0].rank, 1);
  EXPECT_EQ(figures.stragglers[0].stage, Stage::ffn);
  EXPECT_DOUBLE_EQ(figures.stragglers[0].seconds, 0.02);
  EXPECT_EQ(figures.stragglers[0].others_s, 0);
  EXPECT_EQ(figures.ranks[1].steps_slowest, 10);
}

TEST(Figures, WaitingIsWhatTheOthersLackToTheBusiestOfEachStep) {
  auto trace = quiet_trace(2, 2);   // busy: step 0 {3, 5} ms, step 1 {9, 3} ms; all time: 24 ms with communication
  trace.steps[1].stage_s[0] = 0.005;
  trace.steps[2].stage_s[0] = 0.009;
  auto const figures = figures_of(trace);
  EXPECT_NEAR(figures.waiting_share, (2.0 + 6.0) / 24.0, 1e-12);
  EXPECT_EQ(figures.ranks[0].steps_slowest, 1);
  EXPECT_EQ(figures.ranks[1].steps_slowest, 1);
}

TEST(Figures, ALongWaitInCommunicationIsNoStraggler) {
  auto trace = quiet_trace(2, 4);
  for (auto& row : trace.steps)
    if (row.rank == 0) row.stage_s[static_cast<std::size_t>(Stage::communication)] = 1;
  EXPECT_TRUE(figures_of(trace).stragglers.empty());
}

TEST(Figures, LoadsVaryOverRanks) {
  auto trace = quiet_trace(2, 8);
  for (auto& row : trace.steps)
    if (row.rank == 0) {
      row.pages_read = 300;
      row.memory[static_cast<std::size_t>(shards::Memory::replicas)] = 8192;
    } else {
      row.bytes[static_cast<std::size_t>(Purpose::query)] = 7;
    }
  auto const figures = figures_of(trace);
  EXPECT_THAT(figures.variation[static_cast<std::size_t>(Load::expert)], Optional(0.5));        // 300 and 100
  EXPECT_THAT(figures.variation[static_cast<std::size_t>(Load::memory)], Optional(0.5));        // 12288 and 4096, without what is free
  EXPECT_THAT(figures.variation[static_cast<std::size_t>(Load::communication)], Optional(1));   // 0 and 7
  EXPECT_DOUBLE_EQ(figures.max_over_mean[static_cast<std::size_t>(Load::expert)], 1.5);
  EXPECT_EQ(figures.ranks[0].memory_peak_bytes, 12288u);
}

TEST(Windows, CoverAllStepsOnceAndInOrder) {
  for (std::int64_t const steps : {1, 2, 3, 4, 5, 63, 64, 65, 1000}) {
    auto const windows = windows_of(quiet_trace(2, steps), 64);
    EXPECT_EQ(windows.size(), static_cast<std::size_t>(std::min<std::int64_t>(steps, 64)));
    std::int64_t next = 0;
    std::uint64_t reads = 0;
    for (auto const& window : windows) {
      EXPECT_EQ(window.first_step, next);
      next = window.last_step + 1;
      reads += window.sums.count(&StepRecord::pages_read);
    }
    EXPECT_EQ(next, steps);
    EXPECT_EQ(reads, 200u * static_cast<std::uint64_t>(steps));
  }
}

TEST(Windows, TellMemoryAtTheEndOfTheirLastStep) {
  auto trace = quiet_trace(2, 8);
  for (auto& row : trace.steps) row.memory[0] = static_cast<std::uint64_t>(100 * row.step + row.rank);
  auto const windows = windows_of(trace, 4);
  EXPECT_EQ(windows[0].memory[0], 100u + 101u);
  EXPECT_EQ(windows[3].memory[0], 700u + 701u);
}

TEST(Figures, LatencyIsOfRequestsThatGeneratedSomething) {
  auto trace = quiet_trace(1, 1);
  auto const add = [&](double arrival, double first, double end, std::int32_t generated) {
    RequestRecord row;
    row.arrival = arrival;
    row.first_token = first;
    row.end = end;
    row.generated = generated;
    trace.requests.push_back(row);
  };
  add(1, 1.5, 2.5, 5);
  add(1, 0, 3, 0);
  add(2, 4, 4, 1);
  auto const figures = figures_of(trace);
  EXPECT_EQ(figures.generated, 6);
  ASSERT_TRUE(figures.ttft_s && figures.tpot_s);
  EXPECT_EQ(figures.ttft_s->p50, 0.5);
  EXPECT_EQ(figures.ttft_s->p99, 2);
  EXPECT_EQ(figures.tpot_s->p99, 0.25);
}

}   // namespace
}   // namespace pikv::runtime::analyze
