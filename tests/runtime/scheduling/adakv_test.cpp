#include "runtime/scheduling/adakv.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {
namespace {

using Scores = std::vector<std::vector<float>>;
Scores const example{{.9f, .05f, .03f, .02f}, {.3f, .28f, .22f, .2f}};

/// Of each head's best counts[head].
double retained(Scores scores, std::vector<std::int64_t> const& counts) {
  double sum = 0;
  for (std::size_t head = 0; head < scores.size(); ++head) {
    std::sort(scores[head].rbegin(), scores[head].rend());
    sum += std::accumulate(scores[head].begin(), scores[head].begin() + std::min(counts[head], std::ssize(scores[head])), 0.0);
  }
  return sum;
}

Scores random_scores(std::mt19937& random, std::size_t heads, std::size_t n) {
  std::exponential_distribution<float> exponential;
  Scores scores(heads);
  for (auto& of_head : scores) {
    auto const sharpness = static_cast<float>(1 + random() % 6);
    for (std::size_t i = 0; i < n; ++i) of_head.push_back(std::pow(exponential(random), sharpness));
    float const sum = std::accumulate(of_head.begin(), of_head.end(), 0.f);
    for (float& score : of_head) score /= sum;
  }
  return scores;
}

TEST(AdaKvBudgets, GivesTheSpreadOutHeadOfTheExampleMore) {
  for (Safeguard const safeguard : {Safeguard::protect_best, Safeguard::blend}) {
    auto const budgets = adakv_budgets(example, 4, 0, safeguard);
    EXPECT_EQ(budgets, (std::vector<std::int64_t>{1, 3}));
    EXPECT_NEAR(retained(example, budgets), 1.70, 1e-6);
    EXPECT_NEAR(retained(example, {2, 2}), 1.53, 1e-6);
  }
}

TEST(AdaKvBudgets, SumToTheTotalExactlyAndRetainNoLessThanEqualShares) {
  std::mt19937 random{2};
  for (int round = 0; round < 200; ++round) {
    std::size_t const heads = 1 + random() % 8, n = 1 + random() % 50;
    auto const scores = random_scores(random, heads, n);
    for (Safeguard const safeguard : {Safeguard::protect_best, Safeguard::blend})
      for (std::size_t mean = 0; mean <= n; ++mean)
        for (double const alpha : {0., .2, .7}) {
          auto const budgets = adakv_budgets(scores, static_cast<std::int64_t>(heads * mean), alpha, safeguard);
          ASSERT_EQ(std::accumulate(budgets.begin(), budgets.end(), std::int64_t{0}), static_cast<std::int64_t>(heads * mean));
          if (alpha == 0) {   // floors may cost what rounding gives
            ASSERT_GE(retained(scores, budgets) + 1e-5, retained(scores, std::vector<std::int64_t>(heads, static_cast<std::int64_t>(mean))));
          }
        }
    std::int64_t const odd = static_cast<std::int64_t>(heads * n) * 2 / 3;
    auto const budgets = adakv_budgets(scores, odd, .2, Safeguard::blend);
    ASSERT_EQ(std::accumulate(budgets.begin(), budgets.end(), std::int64_t{0}), odd);
  }
}

TEST(AdaKvBudgets, AreTheBestSplitThereIs) {
  std::mt19937 random{4};
  for (int round = 0; round < 100; ++round) {
    auto const scores = random_scores(random, 3, 6);
    for (std::int64_t total = 3; total <= 18; ++total) {
      double best = 0;
      for (std::int64_t a = 0; a <= 6; ++a)
        for (std::int64_t b = 0; b <= 6; ++b)
          if (std::int64_t const c = total - a - b; c >= 0 && c <= 6) best = std::max(best, retained(scores, {a, b, c}));
      EXPECT_NEAR(retained(scores, adakv_budgets(scores, total, 0, Safeguard::blend)), best, 1e-5);
    }
  }
}

TEST(AdaKvBudgets, AreEqualSharesWhenTheSafeguardIsWhole) {
  std::mt19937 random{6};
  auto const scores = random_scores(random, 4, 20);
  for (Safeguard const safeguard : {Safeguard::protect_best, Safeguard::blend})
    EXPECT_EQ(adakv_budgets(scores, 4 * 7, 1, safeguard), (std::vector<std::int64_t>(4, 7)));
}

TEST(AdaKvBudgets, LeaveNoHeadBelowItsSafeguard) {
  Scores const scores{{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}};
  EXPECT_EQ(adakv_budgets(scores, 10, .4, Safeguard::protect_best), (std::vector<std::int64_t>{8, 2}));
  EXPECT_EQ(adakv_budgets(scores, 10, .4, Safeguard::blend), (std::vector<std::int64_t>{8, 2}));
  EXPECT_EQ(adakv_budgets(scores, 10, 0, Safeguard::protect_best), (std::vector<std::int64_t>{9, 1}));   // one at least
  EXPECT_EQ(adakv_budgets(scores, 10, 0, Safeguard::blend), (std::vector<std::int64_t>{10, 0}));
}

TEST(AdaKv, EvictsWhatIsLeastOfTheWholeLayer) {
  auto const adakv = make_adakv({.shape = {.tables = 2}, .summaries = {}}, {.base = {.window = 1, .pool = 1}, .alpha = 0});
  adakv->begin(5);
  for (std::int32_t table = 0; table < 2; ++table) {
    auto mass = example[static_cast<std::size_t>(table)];
    mass.push_back(0);
    read(*adakv, 4, blocks(5), mass, table);
  }
  Tables held(2, hold(blocks(5)));
  for (auto& pages : held) pages.back().pinned = true;
  auto const left = kept(*adakv, held, {.length = 5, .tokens = 3});
  EXPECT_EQ(left[0], (std::vector<Block>{0, 4}));
  EXPECT_EQ(left[1], (std::vector<Block>{0, 1, 2, 4}));
}

}   // namespace
}   // namespace pikv::test
