#include "runtime/scheduling/snapkv.hpp"

#include <gtest/gtest.h>

#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {
namespace {

TEST(SnapKv, PoolsAsTheExampleDoes) {
  auto const snapkv = make_snapkv(material(), {.window = 1, .pool = 3});
  snapkv->begin(6);
  read(*snapkv, 5, blocks(6), {.1f, .5f, 0, 0, .4f, 0});
  auto const u = utilities(*snapkv, blocks(6));
  std::vector<float> const expected{.2f, .2f, .5f / 3, .4f / 3, .4f / 3, 1};
  for (std::size_t i = 0; i < 6; ++i) EXPECT_FLOAT_EQ(u[i], expected[i]) << i;
}

TEST(SnapKv, IsThePlainMeanOfTheVotersWithoutAPool) {
  auto const snapkv = make_snapkv(material(), {.window = 2, .pool = 1});
  snapkv->begin(5);
  read(*snapkv, 2, blocks(3), {0, 0, 1});   // before the window: no vote
  read(*snapkv, 3, blocks(4), {.2f, .4f, .1f, .3f});
  read(*snapkv, 4, blocks(5), {.4f, .1f, .1f, .1f, .3f});
  auto const u = utilities(*snapkv, blocks(5));
  std::vector<float> const expected{.3f, .25f, .1f, 1, 1};
  for (std::size_t i = 0; i < 5; ++i) EXPECT_FLOAT_EQ(u[i], expected[i]) << i;
}

TEST(SnapKv, PagesOfSeveralTokensAreNotPooledAndThoseThatReachIntoTheWindowStay) {
  auto const snapkv = make_snapkv(material({.page_tokens = 4}), {.window = 2});
  snapkv->begin(12);
  read(*snapkv, 10, blocks(3), {.7f, .1f, .2f});
  read(*snapkv, 11, blocks(3), {.3f, .1f, .6f});
  auto const u = utilities(*snapkv, blocks(3));
  EXPECT_FLOAT_EQ(u[0], .5f);
  EXPECT_FLOAT_EQ(u[1], .1f);
  EXPECT_EQ(u[2], 1);
}

TEST(SnapKv, APromptNoLongerThanTheWindowKeepsAll) {
  auto const snapkv = make_snapkv(material(), {.window = 8});
  snapkv->begin(3);
  for (Block position = 0; position < 3; ++position) read(*snapkv, position, blocks(position + 1), std::vector<float>(position + 1, .1f));
  EXPECT_EQ(utilities(*snapkv, blocks(3)), (std::vector<float>{1, 1, 1}));
}

TEST(SnapKv, EveryFurtherWindowVotesAnew) {
  auto const snapkv = make_snapkv(material(), {.window = 2, .pool = 1});
  snapkv->begin(4);
  read(*snapkv, 2, blocks(3), {.5f, .5f, 0});
  read(*snapkv, 3, blocks(4), {.5f, .5f, 0, 0});
  read(*snapkv, 4, blocks(5), {0, 1, 0, 0, 0});
  EXPECT_EQ(utilities(*snapkv, blocks(5)), (std::vector<float>{.5f, .5f, 1, 1, 1}));   // the second window has not ended
  read(*snapkv, 5, blocks(6), {0, 0, .5f, .5f, 0, 0});
  EXPECT_EQ(utilities(*snapkv, blocks(6)), (std::vector<float>{0, .5f, .25f, .25f, 1, 1}));
}

TEST(SnapKv, AfterARewindWhatComesAgainIsNewUntilTheNextVote) {
  auto const snapkv = make_snapkv(material(), {.window = 2, .pool = 1});
  snapkv->begin(6);
  read(*snapkv, 4, blocks(5), {.5f, .25f, 0, .25f, 0});
  read(*snapkv, 5, blocks(6), {.5f, .25f, 0, .25f, 0, 0});
  read(*snapkv, 6, blocks(7), {0, 0, 1, 0, 0, 0, 0});
  EXPECT_EQ(utilities(*snapkv, blocks(7)), (std::vector<float>{.5f, .25f, 0, .25f, 1, 1, 1}));
  for (Block const page : {3, 4, 5, 6}) snapkv->forget(0, page);
  read(*snapkv, 3, blocks(4), {.25f, .25f, .25f, .25f});
  EXPECT_EQ(utilities(*snapkv, blocks(5)), (std::vector<float>{.5f, .25f, 0, 1, 1}));
  read(*snapkv, 4, blocks(5), {0, 0, 1, 0, 0});
  read(*snapkv, 5, blocks(6), {0, 0, 0, 1, 0, 0});
  EXPECT_EQ(utilities(*snapkv, blocks(6)), (std::vector<float>{0, 0, .5f, .5f, 1, 1}));
}

TEST(SnapKv, VotesTheSameWhateverTheChunksOfThePrompt) {
  std::int32_t constexpr n = 12;
  std::vector<float> mass(n * n);   // [page][row]: the row's share of each earlier key falls with its age
  for (std::int32_t row = 0; row < n; ++row)
    for (std::int32_t page = 0; page <= row; ++page)
      mass[page * n + row] = 2.f * static_cast<float>(page + 1) / static_cast<float>((row + 1) * (row + 2));
  auto const play = [&](std::int32_t chunk) {
    auto const snapkv = make_snapkv(material(), {.window = 5, .pool = 3});
    snapkv->begin(n);
    for (std::int32_t from = 0; from < n; from += chunk) {
      std::int32_t const to = std::min(n, from + chunk);
      std::vector<float> part;
      for (std::int32_t page = 0; page < to; ++page)
        for (std::int32_t row = from; row < to; ++row) part.push_back(mass[page * n + row]);
      auto const pages = blocks(to);
      snapkv->read({.first_position = from, .rows = to - from, .pages = pages, .mass = part});
    }
    return utilities(*snapkv, blocks(n));
  };
  auto const whole = play(n);
  EXPECT_LT(whole[0], whole[5]);
  for (std::int32_t const chunk : {1, 2, 5, 7}) EXPECT_EQ(play(chunk), whole) << "chunks of " << chunk;
}

}   // namespace
}   // namespace pikv::test
