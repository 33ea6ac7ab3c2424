#include "runtime/scheduling/fastv.hpp"

#include <gtest/gtest.h>

#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {
namespace {

/// Schedulers of all layers of a stream, as a home makes them.
struct Layers {
  explicit Layers(std::int32_t n, FastVOptions const& options = {}) {
    for (std::int32_t layer = 0; layer < n; ++layer) {
      all.push_back(make_fastv({.shape = {.layer = layer, .layers = n}, .summaries = {}, .before = before}, options));
      before.push_back(all.back().get());
      all.back()->begin(6);
    }
  }
  /// One query, to every layer with the same masses; `but` gets others.
  void read_all(std::int64_t position, std::vector<float> const& mass) {
    for (auto& layer : all) read(*layer, position, blocks(static_cast<Block>(mass.size())), mass);
  }
  std::vector<std::unique_ptr<Scheduler>> all;
  std::vector<Scheduler*> before;
};

std::vector<Block> kept_of(Scheduler& scheduler, Budget const& budget) {
  return kept(scheduler, budget.length, scheduler.layer_tokens(budget, 0));
}

TEST(FastV, FirstLayersKeepEverythingAndTheRestTheSame) {
  Layers layers{6};
  for (std::size_t layer = 0; layer < 6; ++layer)
    read(*layers.all[layer], 5, blocks(6), layer == 1 ? std::vector<float>{.3f, .01f, .2f, .02f, .4f, .07f} : std::vector<float>(6, 1.f / 6));
  for (std::size_t layer = 0; layer < 6; ++layer) {
    auto const left = kept_of(*layers.all[layer], {.length = 6, .tokens = 3});
    EXPECT_EQ(left, layer < 2 ? blocks(6) : (std::vector<Block>{0, 2, 4})) << "layer " << layer;
  }
}

TEST(FastV, OnlyTheRankingLayerWatches) {
  Layers const layers{5, {.full_layers = 3}};
  for (std::size_t layer = 0; layer < 5; ++layer) EXPECT_EQ(layers.all[layer]->watches(), layer == 2);
}

TEST(FastV, RanksByTheMeanOverTheQueriesThatCouldSee) {
  Layers layers{3};
  layers.read_all(2, {.5f, .1f, .4f});
  layers.read_all(3, {.5f, .1f, .1f, .3f});   // means: .5, .1, .25, .3
  EXPECT_EQ(kept_of(*layers.all[2], {.length = 4, .tokens = 2}), (std::vector<Block>{0, 3}));
}

TEST(FastV, MayRankByTheLastQueryAlone) {
  Layers layers{3, {.rows = RankingRows::last}};
  layers.read_all(3, {.9f, .1f, 0, 0});
  layers.read_all(4, {.1f, .4f, .2f, .2f, .1f});
  EXPECT_EQ(kept_of(*layers.all[2], {.length = 5, .tokens = 3}), (std::vector<Block>{1, 3, 4}));   // of equal ones the older goes; the last stays
}

TEST(FastV, DroppingNothingKeepsEverything) {
  Layers layers{4};
  layers.read_all(5, std::vector<float>(6, .1f));
  for (auto& layer : layers.all) EXPECT_EQ(kept_of(*layer, {.length = 6, .tokens = 6}), blocks(6));
}

TEST(FastV, WhatALayerHasLostDoesNotChangeTheRanks) {
  Layers layers{4};
  layers.read_all(5, {.3f, .01f, .2f, .02f, .4f, .07f});
  layers.all[2]->forget(0, 4);
  EXPECT_EQ(kept_of(*layers.all[3], {.length = 6, .tokens = 3}), (std::vector<Block>{0, 2, 4}));
}

TEST(FastV, StatesItsShareOfTheCache) {
  EXPECT_NEAR(fastv_share(.5, 32), .53125, 1e-12);   // methods 3.6
  EXPECT_EQ(fastv_share(.5, 2), 1);
  EXPECT_EQ(fastv_share(.5, 1), 1);
}

}   // namespace
}   // namespace pikv::test
