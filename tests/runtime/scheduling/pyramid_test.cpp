#include "runtime/scheduling/pyramid.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <stdexcept>

#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {
namespace {

using Budgets = std::vector<std::int64_t>;

std::int64_t sum(Budgets const& budgets) { return std::accumulate(budgets.begin(), budgets.end(), std::int64_t{0}); }

TEST(PyramidBudgets, AreTheLineOfTheExample) { EXPECT_EQ(pyramid_budgets(5 * 32, 256 - 8, 5, 4), (Budgets{56, 44, 32, 20, 8})); }

TEST(PyramidBudgets, SumExactlyAndNeverRise) {
  for (std::int32_t const layers : {1, 2, 3, 5, 30, 32, 61})
    for (double const beta : {1., 1.5, 4., 20., 100.})
      for (std::int64_t const ceiling : {0, 1, 7, 100, 509, 32768})
        for (double const share : {0., .01, .25, 1. / 3, .5, .6, .99}) {
          auto const total = static_cast<std::int64_t>(static_cast<double>(layers * ceiling) * share);
          auto const budgets = pyramid_budgets(total, ceiling, layers, beta);
          ASSERT_EQ(sum(budgets), total) << layers << " layers, beta " << beta << ", ceiling " << ceiling;
          ASSERT_TRUE(std::is_sorted(budgets.begin(), budgets.end(), std::greater{}));
          ASSERT_LE(budgets.front(), ceiling);
          ASSERT_GE(budgets.back(), 0);
        }
}

TEST(PyramidBudgets, AreAlikeAtABetaOfOne) { EXPECT_EQ(pyramid_budgets(4 * 25, 1000, 4, 1), (Budgets{25, 25, 25, 25})); }

TEST(PyramidBudgets, DropNothingThatFits) {
  EXPECT_EQ(pyramid_budgets(3 * 100, 100, 3, 20), (Budgets{100, 100, 100}));
  EXPECT_EQ(pyramid_budgets(3 * 200, 100, 3, 20), (Budgets{100, 100, 100}));
}

TEST(PyramidBudgets, StayBelowTheCeilingAndKeepTheirMean) { EXPECT_EQ(pyramid_budgets(3 * 60, 80, 3, 20), (Budgets{80, 60, 40})); }

TEST(PyramidBudgets, OfLevelsAreAlikeInABlockOfLayers) {
  EXPECT_EQ(pyramid_budgets(6 * 32, 1000, 6, 4, 3), (Budgets{56, 56, 32, 32, 8, 8}));
  EXPECT_EQ(pyramid_budgets(6 * 32, 1000, 6, 4, 1), (Budgets{32, 32, 32, 32, 32, 32}));
  EXPECT_THROW(pyramid_budgets(100, 1000, 6, 4, 4), std::logic_error) << "blocks would differ in size, and the mean with them";
}

std::int64_t tokens_of_layer(std::int32_t layer, Budget const& budget, std::int64_t pinned, SnapKvOptions const& base) {
  return make_pyramid(material({.layer = layer, .layers = 5}), {.base = base, .beta = 4})->layer_tokens(budget, pinned);
}

TEST(Pyramid, GivesLayersTheLineAndTheWindow) {
  Budgets tokens;
  for (std::int32_t layer = 0; layer < 5; ++layer) tokens.push_back(tokens_of_layer(layer, {.length = 256, .tokens = 40}, 0, {.window = 8}));
  EXPECT_EQ(tokens, (Budgets{64, 52, 40, 28, 16}));
}

TEST(Pyramid, NeverGivesALayerLessThanIsPinned) {
  Budgets tokens;
  for (std::int32_t layer = 0; layer < 5; ++layer) tokens.push_back(tokens_of_layer(layer, {.length = 256, .tokens = 52}, 20, {.window = 8}));
  EXPECT_EQ(tokens, (Budgets{76, 64, 52, 40, 28}));
  EXPECT_EQ(tokens_of_layer(0, {.length = 256, .tokens = 12}, 20, {.window = 8}), 12) << "all of it is pinned, so there is nothing to divide";
}

TEST(Pyramid, DropsNothingOfAShortStream) {
  for (std::int32_t layer = 0; layer < 5; ++layer) EXPECT_EQ(tokens_of_layer(layer, {.length = 40, .tokens = 40}, 0, {.window = 8}), 40);
}

}   // namespace
}   // namespace pikv::test
