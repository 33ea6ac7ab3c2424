#include <gtest/gtest.h>

#include <vector>

#include "runtime/control.hpp"

namespace pikv::runtime {
namespace {

ControlState rank_with(std::int64_t room, std::vector<Head> const& heads) {
  ControlState state;
  state.capacity_pages = room + 5;
  state.reserved_pages = 5;
  for (std::size_t i = 0; i < heads.size(); ++i) state.heads[i] = heads[i];
  return state;
}

std::vector<std::size_t> admitted_by_rank(std::vector<ControlState> const& states, bool local = false) {
  std::vector<std::size_t> all;
  for (comm::Rank rank = 0; rank < static_cast<comm::Rank>(states.size()); ++rank) all.push_back(admitted(states, rank, local));
  return all;
}

using Numbers = std::vector<std::size_t>;

TEST(Admission, AsManyStartAsAllRanksTogetherHaveRoomFor) {
  EXPECT_EQ(admitted_by_rank({rank_with(10, {{0, 6}, {2, 6}}), rank_with(10, {{1, 6}, {3, 6}})}), (Numbers{2, 1}));
  EXPECT_EQ(admitted_by_rank({rank_with(10, {{0, 6}, {2, 6}}), rank_with(7, {{1, 6}, {3, 6}})}), (Numbers{1, 1}));
  EXPECT_EQ(admitted_by_rank({rank_with(3, {}), rank_with(3, {{1, 6}})}), (Numbers{0, 1}));
  EXPECT_EQ(admitted_by_rank({rank_with(0, {}), rank_with(5, {{1, 6}})}), (Numbers{0, 0}));
}

TEST(Admission, ASmallRequestDoesNotOvertake) {
  EXPECT_EQ(admitted_by_rank({rank_with(10, {{1, 1}}), rank_with(0, {{0, 11}})}), (Numbers{0, 0}));
  EXPECT_EQ(admitted_by_rank({rank_with(10, {{0, 11}, {1, 1}})}), (Numbers{0}));
}

TEST(Admission, ARanksHeadsStartInItsOwnOrder) {
  // Request 7 arrived before request 2: 2 waits for its turn, and request 5 of the other rank comes before both.
  EXPECT_EQ(admitted_by_rank({rank_with(4, {{7, 4}, {2, 4}}), rank_with(4, {{5, 4}})}), (Numbers{1, 1}));
  EXPECT_EQ(admitted_by_rank({rank_with(4, {{7, 4}, {2, 4}}), rank_with(0, {{5, 4}})}), (Numbers{0, 1}));
}

TEST(Admission, WithALocalStoreEachRankLooksAtItselfAlone) {
  EXPECT_EQ(admitted_by_rank({rank_with(10, {{3, 6}, {4, 4}}), rank_with(5, {{0, 6}})}, true), (Numbers{2, 0}));
}

}  // namespace
}  // namespace pikv::runtime
