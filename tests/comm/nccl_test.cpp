#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "comm/error.hpp"
#include "comm/faults.hpp"
#include "comm/nccl.hpp"
#include "comm/nccl_exchange.hpp"
#include "comm/nccl_world.hpp"
#include "conformance.hpp"
#include "nccl_stand_in.hpp"
#include "thread_world.hpp"

namespace pikv::comm::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

void run_nccl(int ranks, NcclStandIn& stand_in, FunctionRef<void(World&)> body, double patience_s = 20) {
  run_threads(ranks, [&](World& threads) { body(*make_nccl_world(threads, stand_in.device(threads.rank()), patience_s)); });
}

using NcclConformance = ::testing::TestWithParam<std::tuple<Case, int, unsigned>>;

TEST_P(NcclConformance, Holds) {
  auto const& [test, ranks, seed] = GetParam();
  NcclStandIn stand_in{ranks, {}, seed};
  run_nccl(ranks, stand_in, [&](World& world) {
    SCOPED_TRACE("rank " + std::to_string(world.rank()));
    test.body(world);
  });
  EXPECT_EQ(stand_in.in_use(), 0u);
}
std::string name_of(std::tuple<Case, int, unsigned> const& parameters) {
  auto const& [test, ranks, seed] = parameters;
  return test.name + std::string{"_"} + std::to_string(ranks) + (seed == 1 ? "_meeting" : "_buffered");
}
INSTANTIATE_TEST_SUITE_P(All, NcclConformance, ::testing::Combine(::testing::ValuesIn(exchange_cases()), ::testing::Values(2, 3, 4), ::testing::Values(1u, 2u)),
                         [](auto const& instance) { return name_of(instance.param); });

struct Outcome {
  std::optional<Status> status;   // none: it threw
  std::vector<Rank> blame;
  std::string error;
  bool operator==(Outcome const&) const = default;
};
void PrintTo(Outcome const& outcome, std::ostream* out) {
  *out << (outcome.status ? to_string(*outcome.status) : "threw: " + outcome.error) << ", blame " << ::testing::PrintToString(outcome.blame);
}
Outcome const arrived{Status::arrived, {}, {}};

/// Three ranks send `bytes` to each, in rounds until one ends otherwise; how the last ended, by rank.
struct ThreeRanks {
  NcclFaults faults;
  std::size_t bytes = 100;
  FaultPlan plan = {};
  Rank planned = -1;   // the rank that has the plan
  double deadline_s = 0.6;
  int rounds = 3;
  std::size_t in_use_after = 0;

  std::array<Outcome, 3> run() {
    NcclStandIn stand_in{3, faults};
    std::array<Outcome, 3> outcomes;
    run_nccl(3, stand_in, [&](World& inner) {
      auto const world = make_faulty_world(inner, inner.rank() == planned ? plan : FaultPlan{});
      outcomes[static_cast<std::size_t>(inner.rank())] = outcome_of(*world);
      inner.barrier(inner.in(10));
    });
    in_use_after = stand_in.in_use();
    return outcomes;
  }

 private:
  Outcome outcome_of(World& world) const {
    auto const exchange = world.make_exchange({"queries", 1, 60'000});
    Outcome outcome;
    for (int round = 0; round < rounds && outcome.error.empty(); ++round) {
      for (Rank to = 0; to < 3; ++to) std::ranges::fill(exchange->outgoing(to).append(bytes), std::byte{7});
      try {
        exchange->start();
        outcome = {exchange->finish(world.in(deadline_s)), exchange->blame(), {}};
      } catch (RunError const& error) {
        outcome = {std::nullopt, {}, error.what()};
      }
      if (outcome.status != Status::arrived) break;
    }
    return outcome;
  }
};

TEST(Nccl, WithoutFaultsEveryRoundArrives) {
  for (std::size_t const bytes : {0, 100, 60'000}) EXPECT_THAT((ThreeRanks{.faults = {}, .bytes = bytes}.run()), ::testing::Each(arrived));
}

TEST(Nccl, SmallMessagesTakeOneGroupAndLongOnesTwo) {
  std::size_t const most = nccl_parcel_bytes - 24;   // a frame's header travels in the parcel
  for (auto const& [bytes, groups] : {std::pair<std::size_t, int>{0, 1}, {most, 1}, {most + 1, 2}, {60'000, 2}}) {
    NcclStandIn stand_in{3};
    run_nccl(3, stand_in, [&, size = bytes](World& world) {
      auto const exchange = world.make_exchange({"groups", 1, 60'000});
      std::ranges::fill(exchange->outgoing(1).append(world.rank() == 0 ? size : 0), std::byte{7});
      exchange->start();
      EXPECT_EQ(exchange->finish(soon(world)), Status::arrived);
      EXPECT_EQ(exchange->incoming(0).size(), world.rank() == 1 ? size : 0);
    });
    EXPECT_EQ(stand_in.groups(0), groups) << bytes;
    EXPECT_EQ(stand_in.groups(1), groups) << bytes;
    EXPECT_EQ(stand_in.groups(2), 1) << "it has no part in what is between the others";
  }
}

TEST(Nccl, ExchangesOfAWorldShareACommunicatorAndTakeTurnsInTheOrderOfTheirStart) {
  NcclStandIn stand_in{2};
  run_nccl(2, stand_in, [](World& world) {
    auto const first = world.make_exchange({"first", 1, 60'000}), second = world.make_exchange({"second", 2, 60'000});
    for (int round = 0; round < 20; ++round) {
      for (Exchange* const exchange : {first.get(), second.get()}) {
        std::ranges::fill(exchange->outgoing(1 - world.rank()).append(60'000), static_cast<std::byte>(round));
        exchange->start();
      }
      bool const second_first = (world.rank() + round) % 2 == 0;   // who is waited for first may differ
      for (Exchange* const exchange : {second_first ? second.get() : first.get(), second_first ? first.get() : second.get()})
        ASSERT_EQ(exchange->finish(soon(world)), Status::arrived);
      EXPECT_EQ(second->incoming(1 - world.rank())[59'999], static_cast<std::byte>(round));
    }
  });
}

TEST(Nccl, ARankThatFallsSilentIsATimeoutThatNamesIt) {
  for (std::size_t const bytes : {100, 60'000})
    for (int const at_group : {1, 2, 3}) {
      auto const outcomes = ThreeRanks{.faults = {.silent = 2, .at_group = at_group}, .bytes = bytes}.run();
      for (auto const r : {0u, 1u}) EXPECT_EQ(outcomes[r], (Outcome{Status::timeout, {2}, {}})) << bytes << " " << at_group;
    }
}

TEST(Nccl, ARankThatFallsSilentBetweenTheGroupsOfARoundIsNamedToo) {
  auto const outcomes = ThreeRanks{.faults = {.silent = 2, .at_group = 2}, .bytes = 60'000}.run();
  for (auto const r : {0u, 1u}) EXPECT_EQ(outcomes[r], (Outcome{Status::timeout, {2}, {}}));
}

TEST(Nccl, WhereTheGpuDoesNotEndWhatItDoesItsMemoryStaysAndTheWaitEnds) {
  ThreeRanks job{.faults = {.silent = 2, .at_group = 1, .abort_ends = false}};
  auto const outcomes = job.run();
  for (auto const r : {0u, 1u}) EXPECT_EQ(outcomes[r].status, Status::timeout);
  EXPECT_GT(job.in_use_after, 0u);
}

TEST(Nccl, AnErrorOfNcclIsSaidInItsWords) {
  for (std::size_t const bytes : {100, 60'000})
    for (int const asked : {0, 1, 2, 4}) {   // while the group is being queued, and while it runs
      auto const outcomes = ThreeRanks{.faults = {.in_error = 1, .asked = asked, .at_group = 2}, .bytes = bytes, .rounds = 20}.run();
      EXPECT_THAT(outcomes[1].error, HasSubstr("NCCL could not go on: remote process exited"));
      for (auto const r : {0u, 2u}) EXPECT_EQ(outcomes[r].status, Status::timeout);
    }
}

TEST(Nccl, AGroupThatIsRefusedIsAnErrorToo) {
  auto const outcomes = ThreeRanks{.faults = {.refused = 1, .at_group = 2}, .bytes = 60'000}.run();
  EXPECT_EQ(outcomes[1].error, "NCCL could not send: invalid argument");
  for (auto const r : {0u, 2u}) EXPECT_EQ(outcomes[r].status, Status::timeout);
}

TEST(Nccl, ADamagedMessageIsCorruptAndNamesItsSender) {
  for (std::size_t const byte : {0, 8, 16, 24, 32, 40, 48, 56, 100}) {   // of label, frame header and payload
    auto const outcomes = ThreeRanks{.faults = {.flips = 1, .at_group = 2, .flipped_byte = byte}, .rounds = 2}.run();
    EXPECT_EQ(outcomes[1], arrived);
    for (auto const r : {0u, 2u}) EXPECT_EQ(outcomes[r], (Outcome{Status::corrupt, {1}, {}})) << byte;
  }
}

TEST(Nccl, ADamagedRestIsCorruptToo) {
  auto const outcomes = ThreeRanks{.faults = {.flips = 1, .at_group = 2, .flipped_byte = 40'000}, .bytes = 60'000, .rounds = 1}.run();
  EXPECT_EQ(outcomes[1], arrived);
  for (auto const r : {0u, 2u}) EXPECT_EQ(outcomes[r], (Outcome{Status::corrupt, {1}, {}}));
}

TEST(Nccl, ADamagedLengthOfALongMessageDoesNotHang) {
  auto const outcomes = ThreeRanks{.faults = {.flips = 1, .at_group = 1, .flipped_byte = 8}, .bytes = 60'000, .rounds = 1}.run();
  for (auto const r : {0u, 2u}) {
    EXPECT_NE(outcomes[r].status, Status::arrived);
    EXPECT_THAT(outcomes[r].blame, ::testing::Contains(1));
  }
}

TEST(Nccl, ADroppedMessageIsATimeoutThatNamesItsSender) {
  for (std::size_t const bytes : {100, 60'000}) {
    auto const outcomes = ThreeRanks{.faults = {}, .bytes = bytes, .plan = {.drop = 1, .on_message = true}, .planned = 1, .rounds = 1}.run();
    EXPECT_EQ(outcomes[1], arrived);
    for (auto const r : {0u, 2u}) EXPECT_EQ(outcomes[r], (Outcome{Status::timeout, {1}, {}}));
  }
}

TEST(Nccl, ATruncatedMessageIsCorrupt) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    auto const outcomes =
        ThreeRanks{.faults = {}, .bytes = 60'000, .plan = {.seed = seed, .truncate = 1, .on_message = true}, .planned = 1, .rounds = 1}.run();
    for (auto const r : {0u, 2u}) EXPECT_EQ(outcomes[r], (Outcome{Status::corrupt, {1}, {}}));
  }
}

void expect_all_stay_unconnected(NcclFaults const& faults, std::string const& because) {
  NcclStandIn stand_in{3, faults};
  run_threads(3, [&](World& threads) {
    EXPECT_THAT([&] { (void)make_nccl_world(threads, stand_in.device(threads.rank()), 0.3); }, ThrowsMessage<RunError>(HasSubstr(because)));
    threads.barrier(soon(threads));   // the world over which they did not connect goes on
  });
}
TEST(Nccl, ARankThatDoesNotComeToConnectLeavesAllUnconnected) {
  expect_all_stay_unconnected({.never_opens = 2}, "rank 0 on host0: NCCL did not connect the ranks within 0.3 s; NCCL_DEBUG");
  expect_all_stay_unconnected({.silent = 2, .at_group = 0}, "rank 0 on host0: NCCL did not connect the ranks within 0.3 s; NCCL_DEBUG");
}
TEST(Nccl, ARankThatCannotConnectLeavesAllUnconnected) {
  expect_all_stay_unconnected({.refused = 0, .at_group = 0}, "rank 0 on host0: NCCL could not send: invalid argument");
}

TEST(Nccl, WhatItReplacesKeepsTheRest) {
  NcclStandIn stand_in{2};
  run_nccl(2, stand_in, [](World& world) { EXPECT_EQ(world.data_path(), "threads, exchanges over NCCL " + nccl_version()); });
}

TEST(Nccl, IsLeftOutForOneReasonThatAllRanksKnow) {
  run_threads(2, [](World& world) {
    GpuPlacement const alone{{0, 1}, {}, {}}, none{{-1, -1}, {}, {}}, shared{{0, 0}, "ranks 0, 1 of host0 share a GPU", {}};
    EXPECT_EQ(why_not_nccl(world, alone, true), "");
    EXPECT_THAT(why_not_nccl(world, alone, false), HasSubstr("without NCCL; rebuild with -DPIKV_CUDA=ON -DPIKV_NCCL=ON"));
    EXPECT_EQ(why_not_nccl(world, none, true), "no rank has a GPU");
    EXPECT_EQ(why_not_nccl(world, shared, true), "ranks 0, 1 of host0 share a GPU");
  });
  EXPECT_EQ(why_not_nccl(*make_solo_world(), {{0}, {}, {}}, true), "there is one rank");
}

}  // namespace
}  // namespace pikv::comm::test
