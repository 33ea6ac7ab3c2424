#include "runtime/analyze/advice.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "made_trace.hpp"
#include "runtime/analyze/report.hpp"

namespace pikv::runtime::analyze {
namespace {

using ::testing::AllOf;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<Advice> advice_of(Trace const& trace) { return advice_for(trace, figures_of(trace)); }

void set(Trace& trace, std::string const& name, std::variant<std::string, std::int64_t, double> value) {
  for (auto& option : trace.options)
    if (option.name == name) option.value = std::move(value);
}

double& seconds(StepRecord& row, Stage stage) { return row.stage_s[static_cast<std::size_t>(stage)]; }

/// The trace gives this rule alone, and what it says.
void expect_only(Trace const& trace, char const* rule, char const* finding, char const* change) {
  EXPECT_THAT(advice_of(trace), ::testing::ElementsAre(AllOf(Field(&Advice::rule, rule), Field(&Advice::finding, HasSubstr(finding)),
                                                             Field(&Advice::change, HasSubstr(change)))));
}

TEST(Advice, OfAQuietRunIsNone) {
  for (std::int32_t const ranks : {1, 2, 5}) EXPECT_THAT(advice_of(quiet_trace(ranks, 20)), IsEmpty());
  EXPECT_THAT(advice_of(quiet_trace(2, 0)), IsEmpty());
}

TEST(Advice, DamagedPagesComeFirst) {
  auto trace = quiet_trace(2, 20);
  trace.steps[3].checked = 50;
  trace.steps[3].corrupt = 2;
  for (auto& row : trace.steps) seconds(row, Stage::communication) = 1;
  auto const advice = advice_of(trace);
  ASSERT_EQ(advice.size(), 2u);
  EXPECT_EQ(advice[0].rule, "damaged pages");
  EXPECT_THAT(advice[0].finding, AllOf(HasSubstr("2 of 50"), HasSubstr("rank 1 (node1)")));
}

TEST(Advice, DamageThatAFaultPlanMadeIsNoNews) {
  auto trace = quiet_trace(2, 20);
  trace.steps[3].corrupt = 2;
  set(trace, "fault-plan", "plan.json");
  EXPECT_THAT(advice_of(trace), IsEmpty());
}

TEST(Advice, ASlowHostIsNamed) {
  auto trace = quiet_trace(3, 20);
  for (auto& row : trace.steps)
    if (row.rank == 2) seconds(row, Stage::attention) = 0.006;
  expect_only(trace, "waiting for a rank", "rank 2 (node2)", "--threads");
}

TEST(Advice, ARankWithMoreRowsIsToldApartFromASlowHost) {
  auto trace = quiet_trace(3, 20);
  for (auto& row : trace.steps)
    if (row.rank == 2) {
      seconds(row, Stage::attention) = 0.006;
      row.rows_decode = 24;
    }
  expect_only(trace, "waiting for a rank", "1.80 times the mean of rows", "spread the work");
}

TEST(Advice, ExchangesThatCarryLittleWantALargerBatchOnlyIfRequestsWaited) {
  auto trace = quiet_trace(2, 20);
  for (auto& row : trace.steps) seconds(row, Stage::communication) = 0.009;
  expect_only(trace, "communication", "75.0 %", "fewer ranks or more requests");
  trace.requests.resize(40);
  expect_only(trace, "communication", "8.0 rows", "--batch 16 (now 8)");
  set(trace, "transport", "mpi");
  expect_only(trace, "communication", "75.0 %", "--transport auto");
}

TEST(Advice, InOneProcessWaitingForATurnSaysNothing) {
  auto trace = quiet_trace(2, 20);
  for (auto& row : trace.steps) seconds(row, Stage::communication) = 0.009;
  set(trace, "in-process", std::int64_t{2});
  EXPECT_THAT(advice_of(trace), IsEmpty());
}

TEST(Advice, FullMemoryWithEmptyPlacesWantsALargerBudget) {
  auto trace = quiet_trace(2, 20);
  trace.requests.resize(40);
  for (auto& row : trace.steps) {
    row.sequences = 4;
    row.memory[static_cast<std::size_t>(shards::Memory::payload)] = 16000;
  }
  expect_only(trace, "full memory", "97.7 %", "--kv-budget (now 16.0 KiB");
  trace.requests.resize(10);   // all of them had a place: nothing waited
  EXPECT_THAT(advice_of(trace), IsEmpty());
}

TEST(Advice, SlackWantsLargerPages) {
  auto trace = quiet_trace(1, 20);
  for (auto& row : trace.steps) row.memory[static_cast<std::size_t>(shards::Memory::slack)] = 4096;
  expect_only(trace, "slack", "50.0 %", "--page-tokens 64 (now 32)");
}

TEST(Advice, UnevenMemoryWantsAnotherPlacement) {
  auto trace = quiet_trace(2, 20);
  for (auto& row : trace.steps)
    if (row.rank == 1) row.memory[static_cast<std::size_t>(shards::Memory::payload)] = 3 * 4096;
  expect_only(trace, "uneven memory", "50.0 %", "another --home (now mod)");
  set(trace, "store", "local");
  expect_only(trace, "uneven memory", "rank 1 (node1) holds 1.50 times the mean", "--store sharded");
}

TEST(Advice, UnevenReadsWantLongRequestsSpread) {
  auto trace = quiet_trace(2, 20);
  for (auto& row : trace.steps)
    if (row.rank == 1) row.pages_read = 300;
  expect_only(trace, "uneven reads", "rank 1 (node1) reads 1.50 times the mean", "spread long requests");
}

TEST(Advice, PagesThatAreFetchedAreToldOnlyIfTheUserChoseIt) {
  auto trace = quiet_trace(2, 20);
  for (auto& row : trace.steps) row.bytes[static_cast<std::size_t>(Purpose::fetch)] = 1 << 20;
  EXPECT_THAT(advice_of(trace), IsEmpty());
  set(trace, "move", "page");
  expect_only(trace, "pages moved", "100.0 %", "--move auto");
}

TEST(Advice, LongPrefillsWantSmallerChunks) {
  auto trace = quiet_trace(1, 20);
  for (auto& row : trace.steps)
    if (row.step % 4 == 0) {
      row.rows_prefill = 200;
      seconds(row, Stage::attention) = 0.030;
    }
  expect_only(trace, "long prefills", "10.0 times", "--prefill-chunk 64 (now 256)");
}

TEST(Report, ShowsThreePiecesOfAdviceAtMost) {
  auto trace = quiet_trace(2, 20);
  for (auto& row : trace.steps) {
    row.corrupt = 1;
    seconds(row, Stage::communication) = 0.02;
    row.memory[static_cast<std::size_t>(shards::Memory::slack)] = 4096;
    if (row.rank == 1) row.pages_read = 900;
  }
  auto const advice = advice_of(trace);
  ASSERT_EQ(advice.size(), 4u);
  auto const text = report_text(trace, figures_of(trace), advice);
  EXPECT_THAT(text, AllOf(HasSubstr("  3. "), Not(HasSubstr("  4. "))));
}

TEST(Report, OfManyRanksIsStillOnePage) {
  auto const trace = quiet_trace(64, 20);
  auto const text = report_text(trace, figures_of(trace), {});
  EXPECT_LE(std::ranges::count(text, '\n'), 60);
  EXPECT_THAT(text, HasSubstr("and 56 ranks with less"));
}

TEST(Report, OfAJobThatDidNotEndSaysSo) {
  auto trace = quiet_trace(2, 0);
  trace.whole = false;
  auto const text = report_text(trace, figures_of(trace), {});
  EXPECT_THAT(text, AllOf(HasSubstr("of a job that did not end"), HasSubstr("no step was flushed")));
}

}   // namespace
}   // namespace pikv::runtime::analyze
