#include "shards/codecs/auto_choice.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace pikv::test {
namespace {

using shards::Candidate;
using shards::choose;
using Items = std::vector<std::vector<Candidate>>;

struct Sum {
  double bytes = 0, error = 0;
};

Sum sum_of(Items const& items, std::vector<std::size_t> const& chosen) {
  Sum sum;
  for (std::size_t i = 0; i < items.size(); ++i) {
    sum.bytes += items[i][chosen[i]].bytes;
    sum.error += items[i][chosen[i]].error;
  }
  return sum;
}

/// Of all choices within the budget the one that loses least.
double least_error(Items const& items, double budget, std::size_t item = 0) {
  if (item == items.size()) return 0;
  double least = INFINITY;
  for (Candidate const& candidate : items[item])
    if (candidate.bytes <= budget) least = std::min(least, candidate.error + least_error(items, budget - candidate.bytes, item + 1));
  return least;
}

Items random_items(std::size_t count, unsigned seed) {
  std::mt19937 random{seed};
  std::uniform_real_distribution<double> draw{0, 1};
  Items items(count);
  for (auto& candidates : items) {
    double const scale = std::exp(4 * draw(random));
    for (int i = 0; i < 6; ++i) {
      double const bytes = 1 + std::floor(15 * draw(random));
      candidates.push_back({bytes, scale * std::exp(-bytes * draw(random))});
    }
  }
  return items;
}

double cheapest(Items const& items) {
  double bytes = 0;
  for (auto const& candidates : items) bytes += std::ranges::min(candidates, {}, &Candidate::bytes).bytes;
  return bytes;
}

TEST(AutoChoice, StaysWithinTheBudgetAndAtMostOneStepFromTheBest) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    Items const items = random_items(5, seed);
    for (double const more : {0., 3., 10., 25., 80.}) {
      double const budget = cheapest(items) + more;
      Sum const chosen = sum_of(items, choose(items, budget).places);
      EXPECT_LE(chosen.bytes, budget);
      double largest_step = 0;   // of one item, from its cheapest to its best
      for (auto const& candidates : items) {
        auto const [low, high] = std::ranges::minmax(candidates, {}, &Candidate::error);
        largest_step = std::max(largest_step, high.error - low.error);
      }
      EXPECT_LE(chosen.error, least_error(items, budget) + largest_step);
    }
  }
}

TEST(AutoChoice, LosesNoMoreThanAnyChoiceOfTheBytesItTakesWhereHullsAreFine) {   // steps of one byte, convex: greedy is the best there is
  std::mt19937 random{1};
  std::exponential_distribution<double> draw{1};
  for (int round = 0; round < 20; ++round) {
    Items items(4);
    for (auto& candidates : items) {
      std::vector<double> gains(5);
      for (double& gain : gains) gain = draw(random);
      std::sort(gains.begin(), gains.end());
      double error = 0;
      for (std::size_t i = 0; i <= gains.size(); ++i) {
        candidates.push_back({static_cast<double>(6 - i), error});
        if (i < gains.size()) error += gains[i];
      }
    }
    for (double budget = 4; budget <= 24; ++budget) EXPECT_NEAR(sum_of(items, choose(items, budget).places).error, least_error(items, budget), 1e-12) << budget;
  }
}

TEST(AutoChoice, NeverTakesWhatAnotherBeatsInBoth) {
  Items const items{{{4, 4}, {5, 6}, {8, 1}, {7, 1}}};
  EXPECT_EQ(choose(items, 4).places, (std::vector<std::size_t>{0}));
  EXPECT_EQ(choose(items, 6).places, (std::vector<std::size_t>{0}));
  EXPECT_EQ(choose(items, 100).places, (std::vector<std::size_t>{3}));
}

TEST(AutoChoice, LosesLessWithMoreBytes) {
  Items const items = random_items(30, 7);
  double before = INFINITY;
  for (double budget = cheapest(items); budget < 500; budget += 20) {
    double const error = sum_of(items, choose(items, budget).places).error;
    EXPECT_LE(error, before);
    before = error;
  }
}

TEST(AutoChoice, OfTooFewBytesIsTheCheapest) { EXPECT_EQ(choose(Items{{{4, 4}, {2, 9}}, {{3, 1}}}, 1).places, (std::vector<std::size_t>{1, 0})); }

TEST(AutoChoice, SaysWhatItAmountsTo) {
  Items const items = random_items(8, 9);
  for (auto const& choice : shards::frontier(items)) {
    EXPECT_NEAR(choice.sum.bytes, sum_of(items, choice.places).bytes, 1e-9);
    EXPECT_NEAR(choice.sum.error, sum_of(items, choice.places).error, 1e-9);
  }
}

TEST(AutoChoice, ItsFrontierRisesInBytesAndFallsInErrorEverMoreSlowly) {
  auto const all = shards::frontier(random_items(8, 8));
  ASSERT_GT(all.size(), 8u);
  double before = INFINITY;
  for (std::size_t i = 1; i < all.size(); ++i) {
    double const gain = (all[i - 1].sum.error - all[i].sum.error) / (all[i].sum.bytes - all[i - 1].sum.bytes);
    EXPECT_GT(gain, 0);
    EXPECT_LE(gain, before * (1 + 1e-9));
    before = gain;
  }
}

TEST(AutoChoice, OfNothingIsNothing) { EXPECT_TRUE(choose({}, 10).places.empty()); }

}  // namespace
}  // namespace pikv::test
