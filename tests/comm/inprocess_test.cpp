#include "comm/inprocess_world.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "comm/error.hpp"
#include "conformance.hpp"
#include "fenced_memory.hpp"

namespace pikv::comm::test {
namespace {

struct Shape {
  int ranks, ranks_per_host;
};
using InprocessConformance = ::testing::TestWithParam<std::tuple<Case, Shape>>;

TEST_P(InprocessConformance, Holds) {
  auto const& [test, shape] = GetParam();
  for (std::uint64_t seed = 1; seed <= 2; ++seed)
    run_inprocess({.ranks = shape.ranks, .seed = seed, .ranks_per_host = shape.ranks_per_host}, [&](World& world) {
      SCOPED_TRACE("rank " + std::to_string(world.rank()) + ", seed " + std::to_string(seed));
      test.body(world);
    });
}
std::string name_of(std::tuple<Case, Shape> const& parameters) {
  auto const& [test, shape] = parameters;
  return test.name + std::string{"_"} + std::to_string(shape.ranks) + "_by_" + std::to_string(shape.ranks_per_host);
}
Shape const shapes[] = {{1, 1}, {2, 2}, {2, 1}, {3, 3}, {3, 2}, {4, 4}, {4, 2}, {16, 5}};
INSTANTIATE_TEST_SUITE_P(All, InprocessConformance, ::testing::Combine(::testing::ValuesIn(all_cases()), ::testing::ValuesIn(shapes)),
                         [](auto const& instance) { return name_of(instance.param); });

using InprocessDeviceConformance = ::testing::TestWithParam<Case>;
TEST_P(InprocessDeviceConformance, Holds) {
  FencedMemory device;
  device_under_test() = &device;
  run_inprocess({.ranks = 3, .device = &device}, [&](World& world) { GetParam().body(world); });
  device_under_test() = nullptr;
  EXPECT_EQ(device.in_use(), 0u);
}
INSTANTIATE_TEST_SUITE_P(All, InprocessDeviceConformance, ::testing::ValuesIn(cases_in_device_memory()),
                         [](auto const& instance) { return std::string{instance.param.name}; });

using SoloConformance = ::testing::TestWithParam<Case>;
TEST_P(SoloConformance, Holds) { GetParam().body(*make_solo_world()); }
INSTANTIATE_TEST_SUITE_P(All, SoloConformance, ::testing::ValuesIn(all_cases()), [](auto const& instance) { return std::string{instance.param.name}; });

TEST(SoloDeathTest, AnAbortEndsTheProcessWithItsCodeAndSentence) {
  EXPECT_EXIT(make_solo_world()->abort(2, "no such model"), ::testing::ExitedWithCode(2), "pikv: error: rank 0: no such model");
}

TEST(SoloDeathTest, AGuardThatOutlivesItsTimeEndsTheProcess) {
  auto const sleep_guarded = [] {
    auto const world = make_solo_world();
    auto const guard = world->guard("a nap", 0.2);
    world->pause(60);
  };
  EXPECT_EXIT(sleep_guarded(), ::testing::ExitedWithCode(1), "pikv: error: rank 0: a nap did not end in 0.2 s");
}

std::vector<Rank> order_of_events(std::uint64_t seed) {
  std::vector<Rank> order;
  run_inprocess({.ranks = 4, .seed = seed}, [&](World& world) {
    auto const exchange = world.make_exchange({"order", 0, 8});
    for (int round = 0; round < 50; ++round) {
      order.push_back(world.rank());
      exchange->start();
      ASSERT_EQ(exchange->finish(world.in(1)), Status::arrived);
    }
  });
  return order;
}

TEST(Inprocess, TheSameSeedGivesTheSameOrderOfEvents) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) EXPECT_EQ(order_of_events(seed), order_of_events(seed));
  EXPECT_NE(order_of_events(1), order_of_events(2));
}

TEST(Inprocess, TimeStandsStillWhileAnyoneCanRun) {
  run_inprocess({.ranks = 3}, [](World& world) {
    auto const exchange = world.make_exchange({"still", 0, 8});
    for (int round = 0; round < 100; ++round) {
      exchange->start();
      ASSERT_EQ(exchange->finish(world.in(1)), Status::arrived);
    }
    EXPECT_EQ(world.now(), 0);
  });
}

TEST(Inprocess, TimeJumpsToTheSoonestDeadline) {
  run_inprocess({.ranks = 3}, [](World& world) {
    world.pause(1000.0 * (world.rank() + 1));
    EXPECT_EQ(world.now(), 1000.0 * (world.rank() + 1));
  });
}

TEST(Inprocess, ARankThatThrowsEndsAllWaits) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    int gone = 0;
    try {
      run_inprocess({.ranks = 5, .seed = seed}, [&](World& world) {
        if (world.rank() == 3) throw RunError("rank 3 is out of luck");
        if (world.wait([] { return false; }, world.in(30)) != Status::peer_gone) throw RunError("no one said so");
        EXPECT_EQ(world.now(), 0);
        ++gone;
        throw RunError("a later failure");
      });
      FAIL() << "run_inprocess did not rethrow";
    } catch (RunError const& error) {
      EXPECT_STREQ(error.what(), "rank 3 is out of luck");
    }
    EXPECT_EQ(gone, 4);
  }
}

TEST(Inprocess, AnAbortEndsAllRanksWithItsSentence) {
  try {
    run_inprocess({.ranks = 2}, [](World& world) {
      if (world.rank() == 1) world.abort(2, "no such model");
      EXPECT_EQ(world.wait([] { return false; }, world.in(30)), Status::peer_gone);
    });
    FAIL() << "run_inprocess did not rethrow";
  } catch (InputError const& error) {
    EXPECT_STREQ(error.what(), "rank 1: no such model");
  }
}

TEST(Inprocess, ARankThatHasFinishedIsMissedByNameNotWaitedForForever) {
  run_inprocess({.ranks = 3}, [](World& world) {
    if (world.rank() == 1) return;
    try {
      world.barrier(world.in(5));
      FAIL() << "the barrier ended without rank 1";
    } catch (RunError const& error) {
      EXPECT_NE(std::string{error.what()}.find("rank 1 did not answer"), std::string::npos) << error.what();
    }
    EXPECT_EQ(world.now(), 5);
  });
}

TEST(Inprocess, WhatAPredicateThrowsReachesTheRankThatWaits) {
  EXPECT_THROW(run_inprocess({.ranks = 3},
                             [](World& world) {
                               int calls = 0;
                               auto const bad = [&]() -> bool { return ++calls == 3 ? throw InputError("third call") : false; };
                               double seconds = 1;
                               while (world.rank() == 1) EXPECT_EQ(world.wait(bad, world.in(seconds++)), Status::timeout);
                               world.pause(2);
                             }),
               InputError);
}

TEST(Inprocess, NoRanksAreRefused) {
  EXPECT_THROW(run_inprocess({.ranks = 0}, [](World&) {}), InputError);
}

}  // namespace
}  // namespace pikv::comm::test
