#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "runtime/routing/rl.hpp"

namespace pikv::runtime {
namespace {

using Ids = std::vector<KvExpert>;

std::vector<Features> random_features(std::size_t experts, std::uint32_t seed, double spread = 1) {
  std::mt19937 bits{seed};
  std::normal_distribution<double> normal{0, spread};
  std::vector<Features> phi(experts);
  for (Features& of_expert : phi)
    for (double& value : of_expert) value = normal(bits);
  return phi;
}

std::vector<Ids> ordered_picks(KvExpert experts, std::size_t k) {
  std::vector<Ids> all{{}};
  for (std::size_t j = 0; j < k; ++j) {
    std::vector<Ids> longer;
    for (Ids const& order : all)
      for (KvExpert e = 0; e < experts; ++e)
        if (std::ranges::count(order, e) == 0) {
          longer.push_back(order);
          longer.back().push_back(e);
        }
    all = longer;
  }
  return all;
}

double entropy_of_first_pick(PlackettLuce const& policy, std::vector<Features> const& phi) {
  double entropy = 0;
  for (KvExpert e = 0; e < std::ssize(phi); ++e) {
    double const log_p = policy.log_probability(phi, Ids{e});
    entropy -= std::exp(log_p) * log_p;
  }
  return entropy;
}

class Orders : public ::testing::TestWithParam<std::size_t> {
 protected:
  PlackettLuce const policy{random_features(1, 99)[0]};
  std::vector<Features> const phi = random_features(5, 17);
  std::vector<Ids> const all = ordered_picks(5, GetParam());
};

TEST_P(Orders, ProbabilitiesSumToOneAndTheirGradientsToNothing) {
  double sum = 0;
  Features mean{};
  for (Ids const& order : all) {
    double const probability = std::exp(policy.log_probability(phi, order));
    Features const gradient = policy.log_probability_gradient(phi, order);
    sum += probability;
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += probability * gradient[i];
  }
  EXPECT_NEAR(sum, 1, 1e-12);
  for (double const value : mean) EXPECT_NEAR(value, 0, 1e-12);
}

TEST_P(Orders, GradientsAreThoseOfFiniteDifferences) {
  constexpr double h = 1e-5;
  for (Ids const& order : {all.front(), all.back(), all[all.size() / 2]}) {
    Features const gradient = policy.log_probability_gradient(phi, order);
    for (std::size_t i = 0; i < router_features; ++i) {
      PlackettLuce above = policy, below = policy;
      above.theta[i] += h;
      below.theta[i] -= h;
      EXPECT_NEAR(gradient[i], (above.log_probability(phi, order) - below.log_probability(phi, order)) / (2 * h), 1e-6);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Picks, Orders, ::testing::Values(1, 2, 3, 5));

TEST(PlackettLuce, EntropyGradientIsThatOfFiniteDifferences) {
  PlackettLuce const policy{random_features(1, 98)[0]};
  auto const phi = random_features(6, 18);
  Features const gradient = policy.entropy_gradient(phi);
  constexpr double h = 1e-5;
  for (std::size_t i = 0; i < router_features; ++i) {
    PlackettLuce above = policy, below = policy;
    above.theta[i] += h;
    below.theta[i] -= h;
    EXPECT_NEAR(gradient[i], (entropy_of_first_pick(above, phi) - entropy_of_first_pick(below, phi)) / (2 * h), 1e-6);
  }
}

TEST(RlLearner, AConstantAddedToAllRewardsLeavesTheMeanUpdate) {
  auto const phi = random_features(4, 19, 0.2);   // short gradients: none is cut
  auto const mean_update = [&](double constant) {
    Features mean{};
    RlLearner const learner;
    for (Ids const& order : ordered_picks(4, 2)) {
      Features const gradient = learner.policy.log_probability_gradient(phi, order);
      EXPECT_LT(std::inner_product(gradient.begin(), gradient.end(), gradient.begin(), 0.0), 1);
      RlLearner updated = learner;
      updated.learn(-1.0 * order[0] + constant, gradient, learner.policy.entropy_gradient(phi));
      for (std::size_t i = 0; i < mean.size(); ++i)
        mean[i] += std::exp(learner.policy.log_probability(phi, order)) * (updated.policy.theta[i] - learner.policy.theta[i]);
    }
    return mean;
  };
  Features const plain = mean_update(0), shifted = mean_update(-7);
  double largest = 0;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    EXPECT_NEAR(plain[i], shifted[i], 1e-12);
    largest = std::max(largest, std::abs(plain[i]));
  }
  EXPECT_GT(largest, 1e-4) << "nothing was learned that could have changed";
}

TEST(RlLearner, RewardsTimeAndRecall) {
  RlLearner const learner;
  EXPECT_NEAR(learner.reward({.cost = 1, .certified_recall = 1}), -1, 1e-12);
  EXPECT_NEAR(learner.reward({.cost = 2, .certified_recall = 0.9}), -3, 1e-12);
}

TEST(RlLearner, CutsALongGradientToOne) {
  RlLearner learner;
  learner.learn(1, Features{0, 30, 0, 40, 0, 0, 0, 0}, {});
  EXPECT_NEAR(learner.policy.theta[1] - first_theta[1], 0.01 * 0.6, 1e-12);
  EXPECT_NEAR(learner.policy.theta[3] - first_theta[3], 0.01 * 0.8, 1e-12);
  EXPECT_NEAR(learner.baseline, 0.05, 1e-12);
}

struct Two {   // experts that differ in the statistic `miss` alone
  std::vector<float> z{0, 0};
  ExpertStats stats{{0, 1}, {0, 0}, {0, 0}, {0, 0}, {.5f, .5f}};
};

// Methods 2.6: rewards -1 and -2, always exploring; to begin with, the better expert is the one that theta avoids (probability .27).
TEST(RlRouter, FindsTheBetterOfTwoExpertsWithin2000Steps) {
  for (std::uint64_t const seed : {1u, 2u, 3u, 4u, 5u, 6u}) {
    auto const router = make_rl_router({.experts = 2, .group = {}, .seed = seed}, {.explore = 1});
    Two const two;
    int early = 0, late = 0;
    Ids chosen;
    for (int step = 0; step < 4000; ++step) {
      router->route({static_cast<std::uint64_t>(step), two.z}, two.stats, 1, chosen);
      bool const best = chosen[0] == 1;
      router->end_step(std::vector<std::uint32_t>{!best, best}, {.cost = best ? 1.0 : 2.0, .certified_recall = 1});
      if (step < 100) early += best;
      if (step >= 2000) late += best;
    }
    EXPECT_LT(early, 50) << seed;
    EXPECT_GT(late, 1800) << seed;   // P(best) > .9
  }
}

TEST(RlRouter, WithoutExplorationItIsItsFirstScoresForEver) {
  auto const router = make_rl_router({.experts = 12, .group = {}, .seed = 3}, {.explore = 0});
  std::mt19937 bits{2};
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> share;
  for (int step = 0; step < 200; ++step) {
    std::vector<float> z(12);
    for (float& value : z) value = normal(bits);
    ExpertStats stats;
    for (auto* const values : {&stats.miss, &stats.flush, &stats.compression, &stats.distance, &stats.load})
      for (int e = 0; e < 12; ++e) values->push_back(share(bits));
    double sum = 0, top = -1e9;
    for (float const value : z) sum += std::exp(value), top = std::max<double>(top, value);
    std::vector<double> score;
    for (std::size_t e = 0; e < 12; ++e)
      score.push_back(z[e] - std::log(sum) - stats.miss[e] - .5 * stats.flush[e] - .5 * stats.compression[e] - .5 * std::log(12 * stats.load[e]) -
                      .25 * stats.distance[e] + std::exp(z[e] - top));
    Ids wanted(12), chosen;
    std::iota(wanted.begin(), wanted.end(), 0);
    std::ranges::sort(wanted, std::greater<>{}, [&](KvExpert e) { return score[static_cast<std::size_t>(e)]; });
    wanted.resize(4);
    router->route({static_cast<std::uint64_t>(step), z}, stats, 4, chosen);
    ASSERT_EQ(chosen, wanted);
    router->end_step(std::vector<std::uint32_t>(12, 1), {.cost = 5, .certified_recall = 0.1});
  }
}

TEST(RlRouter, ExploresItsShareOfSteps) {
  auto const router = make_rl_router({.experts = 2, .group = {}, .seed = 5}, {.rate = 0, .explore = 0.05});
  int worse = 0;
  Ids chosen;
  for (int step = 0; step < 20000; ++step) {
    Two const two;
    router->route({static_cast<std::uint64_t>(step), two.z}, two.stats, 1, chosen);
    worse += chosen[0] == 1;
    router->end_step(std::vector<std::uint32_t>{1, 1}, {});
  }
  double const share = 0.05 / (1 + std::exp(1.0));   // explored, and then drawn against theta
  EXPECT_NEAR(worse, 20000 * share, 3.5 * std::sqrt(20000 * share));
}

}  // namespace
}  // namespace pikv::runtime
