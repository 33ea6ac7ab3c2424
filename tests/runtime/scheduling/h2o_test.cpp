#include "runtime/scheduling/h2o.hpp"

#include <gtest/gtest.h>

#include <random>

#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {
namespace {

TEST(H2o, KeepsTwoHeavyAndTwoRecentTokensOfTheExample) {
  auto const h2o = make_h2o(material());
  read(*h2o, 5, blocks(6), {1.f, .1f, .5f, .05f, .2f, .1f});
  read(*h2o, 5, blocks(6), {1.f, .2f, .4f, .05f, .2f, .1f});   // together 2 .3 .9 .1 .4 .2
  EXPECT_EQ(kept(*h2o, 6, 4), (std::vector<Block>{0, 2, 4, 5}));
}

TEST(H2o, AddsTheMeanOverTheHeadsOfATable) {
  auto const h2o = make_h2o(material({.q_heads = 2}));
  std::vector<Block> const pages{0, 1};
  std::vector<float> const mass{1.f, .2f, 0.f, .8f};   // [page][row][head]
  h2o->read({.first_position = 1, .rows = 1, .pages = pages, .mass = mass});
  auto const u = utilities(*h2o, pages, {.length = 2, .tokens = 0});
  EXPECT_FLOAT_EQ(u[0], 1);
  EXPECT_FLOAT_EQ(u[1], .4f / .6f);
}

TEST(H2o, GoesOnAddingToWhatIsKept) {
  auto const h2o = make_h2o(material());
  read(*h2o, 2, blocks(3), {.5f, .3f, .2f});
  h2o->forget(0, 1);
  read(*h2o, 3, {0, 2, 3}, {.1f, .6f, .3f});
  auto const u = utilities(*h2o, {0, 1, 2}, {.length = 100, .tokens = 2});
  EXPECT_FLOAT_EQ(u[0], .6f / .8f);
  EXPECT_FLOAT_EQ(u[1], 0);   // forgotten
  EXPECT_FLOAT_EQ(u[2], 1);
}

TEST(H2o, NormalisesByTheQueriesThatCouldSeeThePage) {
  auto const h2o = make_h2o(material({.page_tokens = 2}), {.recent = 0, .normalise = true});
  std::vector<Block> const pages{0, 1};
  // queries 0..3; page 1 begins at position 2
  std::vector<float> const mass{1, 1, .5f, .5f, 0, 0, .5f, .5f};
  h2o->read({.first_position = 0, .rows = 4, .pages = pages, .mass = mass});
  auto const u = utilities(*h2o, pages, {.length = 4, .tokens = 2});
  EXPECT_FLOAT_EQ(u[0], 1);            // 3 / 4
  EXPECT_FLOAT_EQ(u[1], .5f / .75f);   // 1 / 2
}

/// A stream that loses a token whenever it is over budget, as decoding does: what is left after `steps` queries whose keys weigh weight[key].
std::vector<Block> decode(Scheduler& h2o, std::vector<float> const& weight, std::int64_t tokens) {
  std::vector<Block> held;
  for (std::size_t position = 0; position < weight.size(); ++position) {
    held.push_back(static_cast<Block>(position));
    float sum = 0;
    for (Block const page : held) sum += weight[static_cast<std::size_t>(page)];
    std::vector<float> mass;
    for (Block const page : held) mass.push_back(weight[static_cast<std::size_t>(page)] / sum);
    read(h2o, static_cast<std::int64_t>(position), held, mass);
    h2o.tick();
    auto const stays = kept(h2o, {hold(held)}, {.length = static_cast<std::int64_t>(position) + 1, .tokens = tokens}).front();
    for (Block const page : held)
      if (std::find(stays.begin(), stays.end(), page) == stays.end()) h2o.forget(0, page);
    held = stays;
  }
  return held;
}

TEST(H2o, AlwaysKeepsTheRecentHalfOfTheBudget) {
  std::mt19937 random{3};
  std::vector<float> weight(60);
  for (float& w : weight) w = static_cast<float>(random() % 1000 + 1);
  for (std::size_t length = 8; length <= weight.size(); ++length) {
    auto const h2o = make_h2o(material());
    auto const held = decode(*h2o, {weight.begin(), weight.begin() + static_cast<std::ptrdiff_t>(length)}, 8);
    ASSERT_EQ(held.size(), 8u);
    for (std::size_t i = 1; i <= 4; ++i) EXPECT_EQ(held[8 - i], static_cast<Block>(length - i));
  }
}

TEST(H2o, FindsTheHeaviestKeysOfAttentionThatNeverChanges) {
  std::mt19937 random{7};
  std::vector<float> weight(40);
  for (std::size_t i = 0; i < 40; ++i) weight[i] = static_cast<float>(i + 1);
  std::shuffle(weight.begin(), weight.end(), random);
  auto const h2o = make_h2o(material(), {.recent = 0});
  std::vector<Block> held = blocks(40);
  for (std::int64_t tokens = 40; tokens >= 8; --tokens) {
    std::vector<float> mass;
    for (Block const page : held) mass.push_back(weight[static_cast<std::size_t>(page)] / 1000);
    read(*h2o, 39, held, mass);
    held = kept(*h2o, {hold(held)}, {.length = 40, .tokens = tokens}).front();
    for (Block const page : held) EXPECT_GT(weight[static_cast<std::size_t>(page)], static_cast<float>(40 - tokens));
  }
  EXPECT_EQ(held.size(), 8u);
}

TEST(H2o, KeepsMoreAttentionThanAChoiceByLot) {
  std::mt19937 random{11};
  std::exponential_distribution<float> heavy_tailed;
  std::vector<float> weight(100);
  for (float& w : weight) w = std::pow(heavy_tailed(random), 3.f);
  auto const recall = [&](std::vector<Block> const& held) {
    float part = 0, all = 0;
    for (float const w : weight) all += w;
    for (Block const page : held) part += weight[static_cast<std::size_t>(page)];
    return part / all;
  };
  auto const h2o = make_h2o(material());
  float const ours = recall(decode(*h2o, weight, 20));
  for (int draw = 0; draw < 50; ++draw) {
    std::vector<Block> lot = blocks(100);
    std::shuffle(lot.begin(), lot.end(), random);
    lot.resize(20);
    EXPECT_GT(ours, recall(lot));
  }
}

}   // namespace
}   // namespace pikv::test
