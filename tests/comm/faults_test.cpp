#include "comm/faults.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <string>

#include "comm/error.hpp"
#include "comm/inprocess_world.hpp"
#include "conformance.hpp"

namespace pikv::comm::test {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// Two ranks under a plan; rank 0 does, rank 1 waits till it has done and then looks.
struct Two {
  FaultPlan plan;
  std::function<void(FaultyWorld&, Transport&, Region const&)> rank_0;
  std::function<void(Region const&)> rank_1 = [](Region const&) {};

  FaultCounts run() const {
    FaultCounts counts;
    run_inprocess({.ranks = 2}, [&](World& inner) {
      auto const world = make_faulty_world(inner, plan);
      auto const transport = world->make_transport();
      Region const region = transport->allocate(64, Space::host);
      if (inner.rank() == 0) {
        rank_0(*world, *transport, region);
        counts = world->fault_counts();
      }
      world->barrier(world->in(100));
      if (inner.rank() == 1) rank_1(region);
    });
    return counts;
  }
};

std::vector<std::byte> const sent = pattern(64, 0, 1, 0);
std::vector<std::byte> seen(Region const& region) { return {region.data, region.data + 64}; }

void put_and_flush(FaultyWorld& world, Transport& transport, Region const& region) {
  EXPECT_EQ(transport.wait(transport.put(1, region.at(0), sent), world.in(10)), Status::arrived);
  EXPECT_EQ(transport.wait(transport.flush(1), world.in(10)), Status::arrived);
}

int bits_that_differ(std::span<std::byte const> a, std::span<std::byte const> b) {
  int bits = 0;
  for (std::size_t i = 0; i < a.size(); ++i) bits += std::popcount(std::to_integer<unsigned>(a[i] ^ b[i]));
  return bits;
}

TEST(Faults, NoFaultsMeansNothingChanges) {
  auto const counts = Two{{}, put_and_flush, [](Region const& region) { EXPECT_EQ(seen(region), sent); }}.run();
  EXPECT_EQ(counts.total(), 0u);
}

TEST(Faults, ADroppedPutSaysItArrivedButIsNotThere) {
  auto const counts =
      Two{{.drop = 1}, put_and_flush, [](Region const& region) { EXPECT_EQ(seen(region), std::vector<std::byte>(64)); }}.run();
  EXPECT_EQ(counts.drop, 1u);
  EXPECT_EQ(counts.total(), 1u);
}

TEST(Faults, AFlippedPutDiffersInOneBit) {
  auto const counts =
      Two{{.flip = 1}, put_and_flush, [](Region const& region) { EXPECT_EQ(bits_that_differ(seen(region), sent), 1); }}.run();
  EXPECT_EQ(counts.flip, 1u);
}

TEST(Faults, ATruncatedPutIsAPrefix) {
  auto const counts = Two{{.truncate = 1}, put_and_flush, [](Region const& region) {
                            auto const there = seen(region);
                            auto const end = std::ranges::mismatch(there, sent).in1;
                            EXPECT_LT(end - there.begin(), 64);
                            EXPECT_TRUE(std::all_of(end, there.end(), [](std::byte b) { return b == std::byte{0}; }));
                          }}.run();
  EXPECT_EQ(counts.truncate, 1u);
}

TEST(Faults, ADelayedPutCompletesLaterAndTheFlushWaitsForIt) {
  auto const act = [](FaultyWorld& world, Transport& transport, Region const& region) {
    Op const put = transport.put(1, region.at(0), sent);
    EXPECT_FALSE(transport.test(put));
    Op const flush = transport.flush(1);
    EXPECT_FALSE(transport.test(flush));
    EXPECT_EQ(transport.wait(flush, world.in(10)), Status::arrived);
    EXPECT_DOUBLE_EQ(world.now(), 0.25);
    EXPECT_EQ(transport.wait(put, {world.now()}), Status::arrived);
  };
  auto const counts = Two{{.delay = 1, .delay_us = 250'000}, act, [](Region const& region) { EXPECT_EQ(seen(region), sent); }}.run();
  EXPECT_EQ(counts.delay, 1u);
}

TEST(Faults, ADelayBeyondTheDeadlineIsATimeout) {
  auto const act = [](FaultyWorld& world, Transport& transport, Region const& region) {
    EXPECT_EQ(transport.wait(transport.put(1, region.at(0), sent), world.in(0.1)), Status::timeout);
    EXPECT_DOUBLE_EQ(world.now(), 0.1);
  };
  Two{{.delay = 1, .delay_us = 1e6}, act}.run();
}

TEST(Faults, AReorderedPutLandsAfterLaterOnesButNotPastTheFlush) {
  auto const later = pattern(64, 0, 1, 1);
  auto const act = [&](FaultyWorld& world, Transport& transport, Region const& region) {
    Op const first = transport.put(1, region.at(0), sent);   // reordered: only step 0 has faults
    world.set_step(1);
    Op const second = transport.put(1, region.at(0), later);
    EXPECT_EQ(transport.wait(first, world.in(1)), Status::arrived);
    EXPECT_EQ(transport.wait(second, world.in(1)), Status::arrived);
    EXPECT_EQ(transport.wait(transport.flush(1), world.in(1)), Status::arrived);
  };
  auto const counts = Two{{.reorder = 1, .last_step = 1}, act, [](Region const& region) { EXPECT_EQ(seen(region), sent); }}.run();
  EXPECT_EQ(counts.reorder, 1u);
}

TEST(Faults, ADuplicateLandsOnWhatWasPutInBetween) {
  auto const later = pattern(64, 0, 1, 1);
  auto const act = [&](FaultyWorld& world, Transport& transport, Region const& region) {
    put_and_flush(world, transport, region);
    EXPECT_EQ(world.fault_counts().duplicate, 1u);
    world.set_step(1);
    EXPECT_EQ(transport.wait(transport.put(1, region.at(0), later), world.in(1)), Status::arrived);
    EXPECT_EQ(transport.wait(transport.flush(1), world.in(1)), Status::arrived);   // the duplicate came before: no trace of it
    world.set_step(0);
    EXPECT_EQ(transport.wait(transport.put(1, region.at(0), sent), world.in(1)), Status::arrived);
    world.set_step(1);
    EXPECT_EQ(transport.wait(transport.put(1, region.at(0), later), world.in(1)), Status::arrived);
    std::vector<std::byte> now(64);
    EXPECT_EQ(transport.wait(transport.get(1, region.at(0), now), world.in(1)), Status::arrived);
    EXPECT_EQ(now, later);
    EXPECT_EQ(transport.wait(transport.flush(1), world.in(1)), Status::arrived);
  };
  auto const counts = Two{{.duplicate = 1, .last_step = 1}, act, [](Region const& region) { EXPECT_EQ(seen(region), sent); }}.run();
  EXPECT_EQ(counts.duplicate, 2u);
}

TEST(Faults, AStallHoldsBackAllTransfersOfTheRank) {
  auto const act = [](FaultyWorld& world, Transport& transport, Region const& region) {
    Op const put = transport.put(1, region.at(0), sent);
    world.set_step(1);   // the stall goes on although later operations have no faults of their own
    std::vector<std::byte> into(64);
    Op const get = transport.get(1, region.at(0), into);
    Op const flush = transport.flush(1);
    for (Op const op : {put, get, flush}) EXPECT_FALSE(transport.test(op));
    EXPECT_EQ(transport.wait(get, world.in(10)), Status::arrived);
    EXPECT_DOUBLE_EQ(world.now(), 0.05);
    for (Op const op : {put, flush}) EXPECT_EQ(transport.wait(op, {world.now()}), Status::arrived);
  };
  auto const counts = Two{{.stall = 1, .last_step = 1}, act, [](Region const& region) { EXPECT_EQ(seen(region), sent); }}.run();
  EXPECT_EQ(counts.stall, 1u);
}

TEST(Faults, AStalledTransferStillSuffersItsOwnFault) {
  int found = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    bool flipped_in_stall = false;
    auto const act = [&](FaultyWorld& world, Transport& transport, Region const& region) {
      Op const first = transport.put(1, region.at(0), sent);
      bool const stalled = world.fault_counts().stall == 1;
      Op const second = transport.put(1, region.at(0), sent);
      flipped_in_stall = stalled && world.fault_counts().flip == 1;
      for (Op const op : {first, second, transport.flush(1)}) EXPECT_EQ(transport.wait(op, world.in(1)), Status::arrived);
    };
    auto const look = [&](Region const& region) {
      if (!flipped_in_stall) return;
      ++found;
      EXPECT_EQ(bits_that_differ(seen(region), sent), 1);
    };
    Two{{.seed = seed, .flip = 0.5, .stall = 0.5}, act, look}.run();
  }
  EXPECT_GT(found, 0);
}

TEST(Faults, GetsAreDroppedFlippedTruncatedAndDelayed) {
  auto const outcome = [](FaultPlan plan) {
    std::vector<std::byte> into(64);
    plan.on_put = false;
    auto const act = [&](FaultyWorld& world, Transport& transport, Region const& region) {
      put_and_flush(world, transport, region);
      double const before = world.now();
      EXPECT_EQ(transport.wait(transport.get(1, region.at(0), into), world.in(1)), Status::arrived);
      EXPECT_DOUBLE_EQ(world.now() - before, plan.delay > 0 ? 500e-6 : 0);
    };
    EXPECT_EQ((Two{plan, act}.run().total()), 1u);
    return into;
  };
  EXPECT_EQ(outcome({.drop = 1}), std::vector<std::byte>(64));
  EXPECT_EQ(bits_that_differ(outcome({.flip = 1}), sent), 1);
  EXPECT_EQ(outcome({.delay = 1}), sent);
  auto const cut = outcome({.truncate = 1});
  EXPECT_NE(cut, sent);
  EXPECT_EQ(std::vector(cut.begin(), std::ranges::mismatch(cut, sent).in1), std::vector(sent.begin(), std::ranges::mismatch(cut, sent).in2));
}

TEST(Faults, AGetIsNeitherDuplicatedNorReordered) {
  auto const act = [](FaultyWorld& world, Transport& transport, Region const& region) {
    std::vector<std::byte> into(64);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(transport.wait(transport.get(1, region.at(0), into), world.in(1)), Status::arrived);
  };
  EXPECT_EQ((Two{{.duplicate = 0.5, .reorder = 0.5}, act}.run().total()), 0u);
}

struct Outcome {
  Status status;
  std::vector<Rank> blame;
};
/// How one round of messages ends on each of three ranks of which only rank 1 has faults.
std::vector<Outcome> round_of_messages(FaultPlan plan) {
  plan.on_message = true;
  std::vector<Outcome> outcomes(3);
  run_inprocess({.ranks = 3}, [&](World& inner) {
    auto const world = make_faulty_world(inner, inner.rank() == 1 ? plan : FaultPlan{});
    auto const exchange = world->make_exchange({"faulty", 1, 100});
    for (Rank to = 0; to < 3; ++to) std::ranges::fill(exchange->outgoing(to).append(40), std::byte{7});
    exchange->start();
    Status const status = exchange->finish(world->in(1));
    outcomes[static_cast<std::size_t>(inner.rank())] = {status, exchange->blame()};
    world->pause(5);
  });
  return outcomes;
}

TEST(Faults, ADroppedMessageIsATimeoutThatNamesItsSender) {
  auto const outcomes = round_of_messages({.drop = 1});
  EXPECT_EQ(outcomes[1].status, Status::arrived);
  for (auto const r : {0u, 2u}) {
    EXPECT_EQ(outcomes[r].status, Status::timeout);
    EXPECT_EQ(outcomes[r].blame, std::vector<Rank>{1});
  }
}

TEST(Faults, ADamagedMessageIsCorruptAndNamesItsSender) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed)
    for (FaultPlan const& plan : {FaultPlan{.seed = seed, .flip = 1}, FaultPlan{.seed = seed, .truncate = 1}}) {
      auto const outcomes = round_of_messages(plan);
      EXPECT_EQ(outcomes[1].status, Status::arrived);
      for (auto const r : {0u, 2u}) {
        EXPECT_EQ(outcomes[r].status, Status::corrupt);
        EXPECT_EQ(outcomes[r].blame, std::vector<Rank>{1});
      }
    }
}

TEST(Faults, ALateMessageArrivesWhileTheDeadlineAllows) {
  for (FaultPlan const& plan : {FaultPlan{.delay = 1, .delay_us = 0.9e6}, FaultPlan{.stall = 1, .stall_ms = 900}})
    for (Outcome const& outcome : round_of_messages(plan)) EXPECT_EQ(outcome.status, Status::arrived);
  auto const too_late = round_of_messages({.delay = 1, .delay_us = 2e6});
  for (Outcome const& outcome : too_late) {
    EXPECT_EQ(outcome.status, Status::timeout);
    EXPECT_EQ(outcome.blame, std::vector<Rank>{1});
  }
}

/// Many transfers under every fault; returns what rank 0 and its memory look like at the end.
std::pair<FaultCounts, std::vector<std::byte>> storm(std::uint64_t seed) {
  FaultPlan const plan{.seed = seed, .drop = .1, .delay = .1, .duplicate = .1, .reorder = .1, .flip = .1, .truncate = .1, .stall = .1};
  FaultCounts counts;
  std::vector<std::byte> memory;
  run_inprocess({.ranks = 3, .seed = 5}, [&](World& inner) {
    auto const world = make_faulty_world(inner, plan);
    auto const transport = world->make_transport();
    Region const region = transport->allocate(6400, Space::host);
    for (int i = 0; i < 200; ++i) {
      Rank const to = (inner.rank() + 1 + i % 2) % 3;
      auto const bytes = pattern(64, inner.rank(), to, i);
      EXPECT_EQ(transport->wait(transport->put(to, region.at(static_cast<std::uint64_t>(i % 100) * 64), bytes), world->in(100)), Status::arrived);
      if (i % 5 != 0) continue;
      EXPECT_EQ(transport->wait(transport->flush(to), world->in(100)), Status::arrived);
    }
    for (Rank to = 0; to < 3; ++to) EXPECT_EQ(transport->wait(transport->flush(to), world->in(100)), Status::arrived);
    world->barrier(world->in(100));
    if (inner.rank() == 0) {
      counts = world->fault_counts();
      memory.assign(region.data, region.data + region.bytes);
    }
  });
  return {counts, memory};
}

TEST(Faults, TheSameSeedGivesTheSameFaults) {
  auto const [counts, memory] = storm(3);
  auto const [again, memory_again] = storm(3);
  EXPECT_EQ(std::memcmp(&counts, &again, sizeof counts), 0);
  EXPECT_EQ(memory, memory_again);
  EXPECT_NE(storm(4).second, memory);
  EXPECT_GT(counts.total(), 100u);
  EXPECT_LT(counts.total(), 180u);   // 7 of 10 of 200
}

TEST(Faults, TheKindsByNameAreAllThereAre) {
  FaultCounts counts;
  std::uint64_t bit = 1;
  for (auto const& kind : fault_kinds) {
    counts.*kind.count = bit;
    bit *= 2;
    EXPECT_EQ(counts.total(), bit - 1) << kind.name;   // each counts in the total, once
    std::string const plan = std::string{"{\""} + kind.name + "\": 0.5}";
    EXPECT_NO_THROW((void)parse_fault_plan(plan));
  }
  EXPECT_EQ(std::size(fault_kinds) * sizeof(std::uint64_t), sizeof(FaultCounts));
}

TEST(Faults, ConformanceHoldsUnderAPlanWithoutFaults) {
  for (Case const& test : all_cases())
    run_inprocess({.ranks = 3}, [&](World& inner) {
      SCOPED_TRACE(test.name);
      test.body(*make_faulty_world(inner, {}));
    });
}

TEST(Faults, ConformanceHoldsWhenTransfersAreOnlyLateOrTwice) {
  FaultPlan const plan{.delay = .2, .duplicate = .2, .reorder = .2, .stall = .1, .stall_ms = 1, .on_message = true};
  for (Case const& test : cases_that_allow_faults())
    run_inprocess({.ranks = 3}, [&](World& inner) {
      SCOPED_TRACE(test.name);
      test.body(*make_faulty_world(inner, plan));
    });
}

TEST(FaultPlan, ReadsEveryKey) {
  FaultPlan const plan = parse_fault_plan(
      R"({"seed": 7, "drop": 0.01, "delay": 0.02, "duplicate": 0.03, "reorder": 0.04, "flip": 0.05, "truncate": 0.06, "stall": 0.07,
          "delay_us": 12, "stall_ms": 34, "on": ["get", "message"], "steps": [10, 200]})");
  EXPECT_EQ(plan.seed, 7u);
  EXPECT_EQ(plan.drop, 0.01);
  EXPECT_EQ(plan.delay, 0.02);
  EXPECT_EQ(plan.duplicate, 0.03);
  EXPECT_EQ(plan.reorder, 0.04);
  EXPECT_EQ(plan.flip, 0.05);
  EXPECT_EQ(plan.truncate, 0.06);
  EXPECT_EQ(plan.stall, 0.07);
  EXPECT_EQ(plan.delay_us, 12);
  EXPECT_EQ(plan.stall_ms, 34);
  EXPECT_FALSE(plan.on_put);
  EXPECT_TRUE(plan.on_get);
  EXPECT_TRUE(plan.on_message);
  EXPECT_EQ(plan.first_step, 10);
  EXPECT_EQ(plan.last_step, 200);
}

TEST(FaultPlan, AnEmptyOneHasNoFaults) { EXPECT_EQ(parse_fault_plan("{}").drop, 0); }

TEST(FaultPlan, RefusesWhatIsWrongByName) {
  std::pair<char const*, char const*> const cases[] = {
      {R"({"dorp": 0.1})", "\"dorp\""},        {R"({"drop": 1.5})", "\"drop\" is 1.5"},      {R"({"drop": "often"})", "\"drop\" is \"often\""},
      {R"({"seed": -1})", "\"seed\" is -1"},   {R"({"on": ["putt"]})", "\"on\" is"},         {R"({"on": "put"})", "\"on\" is"},
      {R"({"steps": [5]})", "\"steps\" is"},   {R"({"steps": [5, 2]})", "\"steps\" is"},     {R"({"stall_ms": -3})", "\"stall_ms\" is -3"},
      {R"({"drop": 0.6, "flip": 0.6})", "add up to 1.2"}, {"[]", "not a JSON object"},       {"{", "not a JSON object"},
  };
  for (auto const& [text, words] : cases) {
    SCOPED_TRACE(text);
    EXPECT_THAT([&] { (void)parse_fault_plan(text); }, ThrowsMessage<InputError>(HasSubstr(words)));
  }
}

}  // namespace
}  // namespace pikv::comm::test
