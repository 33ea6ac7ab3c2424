#include "runtime/scheduling/duo.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {
namespace {

constexpr Block n = 20;
DuoOptions const options{.sinks = 2, .recent = 4, .window = 2};

/// Four heads of which head h gives far[h] of its attention to token 9, the rest to the first.
std::unique_ptr<Scheduler> duo_that_saw(std::vector<float> const& far) {
  auto duo = make_duo({.shape = {.tables = static_cast<std::int32_t>(far.size())}, .summaries = {}}, options);
  duo->begin(n);
  for (Block position = 0; position < n; ++position)
    for (std::size_t head = 0; head < far.size(); ++head) {
      std::vector<float> mass(static_cast<std::size_t>(position) + 1, 0);
      if (position < 9) {
        mass[0] = 1;
      } else {
        float const share = position < n - 2 ? .5f : far[head];   // only the last two queries count
        mass[0] = 1 - share;
        mass[9] = share;
      }
      read(*duo, position, blocks(position + 1), mass, static_cast<std::int32_t>(head));
    }
  return duo;
}

std::vector<std::vector<Block>> kept_of(Scheduler& duo, std::size_t heads, std::int64_t tokens) {
  return kept(duo, Tables(heads, hold(blocks(n))), {.length = n, .tokens = tokens});
}

std::vector<Block> streaming(Block recent) {
  std::vector<Block> blocks{0, 1};
  for (Block token = n - recent; token < n; ++token) blocks.push_back(token);
  return blocks;
}

TEST(Duo, HeadsThatLookFarBackKeepAllAndTheOthersStream) {
  auto const duo = duo_that_saw({.1f, .6f, .2f, .7f});
  EXPECT_EQ(kept_of(*duo, 4, 13), (std::vector{streaming(4), blocks(n), streaming(4), blocks(n)}));   // (20 + 20 + 6 + 6) / 4
}

TEST(Duo, WhatIsLeftOfTheBudgetLengthensTheRecentPartOfTheNextHead) {
  auto const duo = duo_that_saw({.1f, .6f, .2f, .7f});
  EXPECT_EQ(kept_of(*duo, 4, 12), (std::vector{streaming(4), streaming(14), streaming(4), blocks(n)}));
  EXPECT_EQ(kept_of(*duo, 4, 14), (std::vector{streaming(4), blocks(n), streaming(8), blocks(n)}));
}

TEST(Duo, StreamsOnAllHeadsOrOnNoneAtTheEnds) {
  auto const duo = duo_that_saw({.1f, .6f});
  EXPECT_EQ(kept_of(*duo, 2, 6), (std::vector{streaming(4), streaming(4)}));
  EXPECT_EQ(kept_of(*duo, 2, n), (std::vector{blocks(n), blocks(n)}));
}

TEST(Duo, SharesAlikeWhereNotEvenSinksAndRecentTokensFit) {
  auto const duo = duo_that_saw({.1f, .6f});
  EXPECT_EQ(kept_of(*duo, 2, 5), (std::vector{streaming(3), streaming(3)}));
}

TEST(Duo, SharesAlikeBeforeThePromptHasBeenRead) {
  auto const duo = make_duo({.shape = {.tables = 2}, .summaries = {}}, options);
  duo->begin(2 * n);
  read(*duo, n - 1, blocks(n), std::vector<float>(n, 1.f / n), 0);
  EXPECT_EQ(kept_of(*duo, 2, 10), (std::vector{streaming(8), streaming(8)}));
}

TEST(Duo, BreaksATieOfHeadsForTheLower) {
  auto const duo = duo_that_saw({.5f, .5f, .5f});
  EXPECT_EQ(kept_of(*duo, 3, 11), (std::vector{blocks(n), streaming(5), streaming(4)}));
}

TEST(Duo, LeavesPinnedPagesToTheEngine) {
  auto const duo = duo_that_saw({.1f, .6f});
  Tables held(2, hold(blocks(n)));
  for (auto& pages : held)
    for (Block const page : {0, 18, 19}) pages[static_cast<std::size_t>(page)].pinned = true;
  EXPECT_EQ(kept(*duo, held, {.length = n, .tokens = 13}), (std::vector{streaming(4), blocks(n)}));
}

}   // namespace
}   // namespace pikv::test
