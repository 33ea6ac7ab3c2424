#include "runtime/agree.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <new>
#include <string>

#include "comm/inprocess_world.hpp"

namespace pikv::runtime {
namespace {

constexpr int ranks = 3;

/// What each rank ends with when rank `thrower` throws `error` alone in an agreed action.
template <typename Exception>
std::array<Outcome, ranks> outcomes_when_one_throws(int thrower, Exception const& error) {
  std::array<Outcome, ranks> outcomes;
  comm::run_inprocess({.ranks = ranks}, [&](comm::World& world) {
    outcomes[static_cast<std::size_t>(world.rank())] = outcome_of([&] {
      agree(world, 30, [&] {
        if (world.rank() == thrower) throw error;
      });
    });
  });
  return outcomes;
}

TEST(Agree, WithoutTroubleEveryRankGoesOn) {
  for (auto const& outcome : outcomes_when_one_throws(ranks, InputError("never thrown"))) EXPECT_EQ(outcome.code, 0);
}

TEST(Agree, TroubleOfOneRankIsEveryRanksWithItsCode) {
  for (auto const& outcome : outcomes_when_one_throws(2, InputError("no model here"))) {
    EXPECT_EQ(outcome.code, 2);
    EXPECT_EQ(outcome.sentence, "rank 2: no model here");
  }
  for (auto const& outcome : outcomes_when_one_throws(1, RunError("disk full"))) EXPECT_EQ(outcome.code, 1);
}

TEST(Agree, TroubleOfRankZeroNeedsNoName) {
  for (auto const& outcome : outcomes_when_one_throws(0, InputError("no model here"))) EXPECT_EQ(outcome.sentence, "no model here");
}

TEST(Agree, MemoryThatRanOutIsASentenceToo) {
  for (auto const& outcome : outcomes_when_one_throws(1, std::bad_alloc{})) {
    EXPECT_EQ(outcome.code, 1);
    EXPECT_THAT(outcome.sentence, ::testing::HasSubstr("memory ran out"));
  }
}

}  // namespace
}  // namespace pikv::runtime
