#include <gtest/gtest.h>

#include "comm/error.hpp"
#include "conformance.hpp"

namespace pikv::comm::test {
namespace {

void every_rank_gets_everyones_bytes(World& world) {
  for (int round = 0; round < 3; ++round) {
    auto const length = [&](Rank r) { return static_cast<std::size_t>((r + round) % 3) * 5000; };
    auto const all = world.all_gather(pattern(length(world.rank()), world.rank(), 0, round), soon(world));
    ASSERT_EQ(all.size(), static_cast<std::size_t>(world.size()));
    for (Rank r = 0; r < world.size(); ++r) EXPECT_EQ(all[static_cast<std::size_t>(r)], pattern(length(r), r, 0, round));
  }
}

void the_lowest_rank_in_trouble_is_heard(World& world) {
  EXPECT_FALSE(world.first_trouble("", soon(world)));
  int const lowest = world.size() / 2;
  auto const trouble = world.first_trouble(world.rank() < lowest ? "" : "no room on rank " + std::to_string(world.rank()), soon(world));
  ASSERT_TRUE(trouble);
  EXPECT_EQ(trouble->rank, lowest);
  EXPECT_EQ(trouble->text, "no room on rank " + std::to_string(lowest));
}

void a_wait_for_what_never_comes_times_out(World& world) {
  Deadline const deadline = world.in(0.02);
  EXPECT_EQ(world.wait([] { return false; }, deadline), Status::timeout);
  EXPECT_GE(world.now(), deadline.at);
}

void what_is_ready_arrives_even_after_the_deadline(World& world) {
  EXPECT_EQ(world.wait([] { return true; }, {world.now() - 1}), Status::arrived);
}

void a_pause_lasts_as_long_as_it_says(World& world) {
  double const before = world.now();
  world.pause(0.01);
  EXPECT_GE(world.now(), before + 0.01);
}

void hosts_are_numbered_from_0_and_named(World& world) {
  EXPECT_EQ(world.host(0), 0);
  for (Rank r = 0; r < world.size(); ++r) {
    EXPECT_LT(world.host(r), world.hosts());
    EXPECT_FALSE(world.host_name(r).empty());
  }
}

void a_guard_that_is_let_go_in_time_does_nothing(World& world) {
  auto const outer = world.guard("a test", 60);
  auto const inner = world.guard("a test inside", 60);
}

constexpr Case cases[] = {
    {"EveryRankGetsEveryonesBytes", every_rank_gets_everyones_bytes},
    {"TheLowestRankInTroubleIsHeard", the_lowest_rank_in_trouble_is_heard},
    {"AWaitForWhatNeverComesTimesOut", a_wait_for_what_never_comes_times_out},
    {"WhatIsReadyArrivesEvenAfterTheDeadline", what_is_ready_arrives_even_after_the_deadline},
    {"APauseLastsAsLongAsItSays", a_pause_lasts_as_long_as_it_says},
    {"HostsAreNumberedFrom0AndNamed", hosts_are_numbered_from_0_and_named},
    {"AGuardThatIsLetGoInTimeDoesNothing", a_guard_that_is_let_go_in_time_does_nothing},
};

}  // namespace

std::span<Case const> world_cases() { return cases; }

}  // namespace pikv::comm::test
