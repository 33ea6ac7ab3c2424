#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "router_cases.hpp"
#include "runtime/routing/cache_aware.hpp"
#include "runtime/routing/entropy.hpp"
#include "runtime/routing/expert_history.hpp"
#include "runtime/routing/hierarchical.hpp"
#include "runtime/routing/scores.hpp"

namespace pikv::runtime {
namespace {

double variation(std::vector<double> const& loads) {
  double const mean = std::accumulate(loads.begin(), loads.end(), 0.0) / static_cast<double>(loads.size());
  double squares = 0;
  for (double const load : loads) squares += (load - mean) * (load - mean);
  return std::sqrt(squares / static_cast<double>(loads.size())) / mean;
}

// mix(42) = bdd732262feb6e95, and that modulo 7 is 4 (Python).
TEST(HashRouter, StartsAtTheHashOfTheQueryWhateverItsAffinities) {
  auto const router = make("hash", 7);
  Ids const chosen = ids_of(*router, {0, 9, 0, 0, 0, 0, 0}, 4, no_penalties(7), 42);
  EXPECT_EQ(chosen,
            (Ids{0xbdd732262feb6e95u % 7, (0xbdd732262feb6e95u + 1) % 7, (0xbdd732262feb6e95u % 7 + 2) % 7, (0xbdd732262feb6e95u % 7 + 3) % 7}));
}

TEST(HashRouter, ReadsEveryExpertEquallyOften) {
  auto const router = make("hash", 64);
  std::vector<double> reads(64);
  constexpr int queries = 64000;
  for (std::uint64_t query = 0; query < queries; ++query)
    for (KvExpert const e : ids_of(*router, std::vector<float>(64), 1, no_penalties(64), query)) ++reads[static_cast<std::size_t>(e)];
  double chi_square = 0;
  for (double const count : reads) chi_square += (count - queries / 64.0) * (count - queries / 64.0) / (queries / 64.0);
  EXPECT_NEAR(chi_square, 63, 3.5 * std::sqrt(2 * 63.0));
}

TEST(RoundRobinRouter, LoadsDifferByAtMostOne) {
  auto const router = make("round_robin", 7);
  std::vector<int> reads(7);
  for (int query = 0; query < 100; ++query) {
    for (KvExpert const e : ids_of(*router, std::vector<float>(7), 3)) ++reads[static_cast<std::size_t>(e)];
    auto const [least, most] = std::ranges::minmax_element(reads);
    ASSERT_LE(*most - *least, 1);
  }
}

TEST(TopkRouter, TakesTheHighestOfTheSoftmaxTiesById) {
  auto const router = make("topk", 6);
  EXPECT_EQ(ids_of(*router, {1, 3, nothing, 3, 2, 0}, 4), (Ids{1, 3, 4, 0}));
}

TEST(TopkRouter, ProbabilitiesOfTheChosenAreTheSoftmaxOverThemAlone) {
  std::mt19937 bits{3};
  auto const z = random_affinity(8, bits);
  std::vector<float> log_p(8);
  log_softmax(z, log_p);
  double sum = 0, chosen_sum = 0, alone = 0;
  for (float const value : log_p) sum += std::exp(value);
  EXPECT_NEAR(sum, 1, 1e-6);
  for (KvExpert const e : highest(z, 3)) {
    chosen_sum += std::exp(log_p[static_cast<std::size_t>(e)]);
    alone += std::exp(z[static_cast<std::size_t>(e)]);
  }
  for (KvExpert const e : highest(z, 3))
    EXPECT_NEAR(std::exp(log_p[static_cast<std::size_t>(e)]) / chosen_sum, std::exp(z[static_cast<std::size_t>(e)]) / alone, 1e-6);
}

TEST(TopkBalancedRouter, AnExpertWithoutPagesComesLast) {
  auto const router = make("topk_balanced", 3);
  for (int step = 0; step < 1500; ++step) router->end_step(std::vector<std::uint32_t>{9, 9, 0}, {});
  EXPECT_EQ(ids_of(*router, {0, 1, nothing}, 3), (Ids{1, 0, 2}));
}

// Methods 2.3: 8 experts, k = 2, an affinity gap of .3, noise of .1, 64 queries a batch. Half of the experts have affinity .35, half .65.
TEST(TopkBalancedRouter, VariationOfLoadsHalvesWithin2000Batches) {
  for (std::uint32_t const seed : {1u, 2u, 3u}) {
    auto const router = make("topk_balanced", 8);
    std::mt19937 bits{seed};
    std::normal_distribution<double> noise{0, 0.1};
    double before = 0, after = 0;
    for (int batch = 0; batch < 2000; ++batch) {
      std::vector<std::uint32_t> reads(8);
      for (int query = 0; query < 64; ++query) {
        std::vector<float> z;
        for (int e = 0; e < 8; ++e) {
          double const affinity = std::clamp((e < 4 ? 0.65 : 0.35) + noise(bits), 0.01, 0.99);
          z.push_back(static_cast<float>(std::log(affinity / (1 - affinity))));
        }
        for (KvExpert const e : ids_of(*router, z, 2)) ++reads[static_cast<std::size_t>(e)];
      }
      ASSERT_EQ(std::accumulate(reads.begin(), reads.end(), 0u), 2u * 64u);
      router->end_step(reads, {});
      if (batch < 20) before += variation({reads.begin(), reads.end()}) / 20;
      if (batch >= 1980) after += variation({reads.begin(), reads.end()}) / 20;
    }
    EXPECT_GT(before, 0.8) << seed;
    EXPECT_LT(after, before / 2) << seed;
  }
}

// Methods 2.4: p = (.5, .3, .2), miss = (.8, .1, 0): scores -1.493, -1.304, -1.609.
TEST(CacheAwareRouter, TheWorkedExample) {
  ExpertStats stats = no_penalties(3);
  stats.miss = {.8f, .1f, 0};
  std::vector<float> const log_p{std::log(.5f), std::log(.3f), std::log(.2f)};
  std::vector<float> scores(3);
  cache_aware_scores(log_p, stats, {.miss = 1, .flush = 0, .compression = 0, .distance = 0}, scores);
  EXPECT_NEAR(scores[0], -1.493, 5e-4);
  EXPECT_NEAR(scores[1], -1.304, 5e-4);
  EXPECT_NEAR(scores[2], -1.609, 5e-4);
  auto const router = make("cache_aware", 3);
  EXPECT_EQ(ids_of(*router, log_p, 3, stats), (Ids{1, 0, 2}));
}

TEST(CacheAwareRouter, APenaltyRaisedNeverRaisesTheRank) {
  std::mt19937 bits{5};
  auto const router = make("cache_aware", 10);
  for (int trial = 0; trial < 500; ++trial) {
    auto const z = random_affinity(10, bits);
    ExpertStats stats = random_stats(10, bits);
    auto const rank = [&](KvExpert e) {
      Ids const order = ids_of(*router, z, 10, stats);
      return std::ranges::find(order, e) - order.begin();
    };
    KvExpert const e = static_cast<KvExpert>(bits() % 10);
    auto const before = rank(e);
    std::vector<float>* const raised[] = {&stats.miss, &stats.flush, &stats.compression, &stats.distance};
    (*raised[trial % 4])[static_cast<std::size_t>(e)] = 1;
    ASSERT_GE(rank(e), before);
  }
}

TEST(CacheAwareRouter, AnExpertAheadByMoreThanAllPenaltiesIsAlwaysChosen) {
  std::mt19937 bits{6};
  auto const router = make("cache_aware", 10);
  constexpr float all_penalties = 1 + .5f + .5f + .25f;
  int ahead = 0;
  for (int trial = 0; trial < 2000; ++trial) {
    auto const z = random_affinity(10, bits);
    Ids const by_affinity = highest(z, 4), chosen = ids_of(*router, z, 3, random_stats(10, bits));
    if (z[static_cast<std::size_t>(by_affinity[0])] <= z[static_cast<std::size_t>(by_affinity[3])] + all_penalties) continue;
    ++ahead;
    ASSERT_EQ(std::ranges::count(chosen, by_affinity[0]), 1);
  }
  EXPECT_GT(ahead, 500);
}

/// Entropy of the loads at which sampling from softmax(score) settles, p being the same for all queries.
std::vector<double> settled_loads(std::vector<float> const& p, float weight) {
  ExpertHistory history{static_cast<KvExpert>(p.size()), 1};
  std::mt19937 bits{9};
  std::vector<float> log_p, scores(p.size());
  for (float const share : p) log_p.push_back(std::log(share));
  std::vector<double> mean(p.size());
  for (int batch = 0; batch < 3000; ++batch) {
    entropy_scores(log_p, history.stats().load, weight, scores);
    std::vector<double> weights;
    for (float const score : scores) weights.push_back(std::exp(score));
    std::discrete_distribution<KvExpert> draw(weights.begin(), weights.end());
    for (int query = 0; query < 64; ++query) history.read(draw(bits), 1, 0);
    history.end_step();
    for (std::size_t e = 0; e < p.size() && batch >= 1000; ++e) mean[e] += history.stats().load[e] / 2000;
  }
  return mean;
}

double entropy_of(std::vector<double> const& f) {
  double entropy = 0;
  for (double const share : f) entropy -= share * std::log(share);
  return entropy;
}

// Methods 2.5: p = (.7, .1, .1, .1), weight 1: f = (.4686, .1771, .1771, .1771), entropy .940 -> 1.275 nats.
TEST(EntropyRouter, SamplingSettlesAtTheClosedForm) {
  auto const f = settled_loads({.7f, .1f, .1f, .1f}, 1);
  EXPECT_NEAR(f[0], .4686, .01);
  for (int e = 1; e < 4; ++e) EXPECT_NEAR(f[static_cast<std::size_t>(e)], .1771, .01);
  EXPECT_NEAR(entropy_of({.7, .1, .1, .1}), .940, 1e-3);
  EXPECT_NEAR(entropy_of(f), 1.275, .01);
}

TEST(EntropyRouter, EntropyOfLoadsGrowsWithItsWeight) {
  double last = 0;
  for (float const weight : {0.0f, 0.25f, 0.5f, 1.0f}) {
    double const entropy = entropy_of(settled_loads({.5f, .3f, .15f, .05f}, weight));
    EXPECT_GT(entropy, last - 0.005) << weight;
    last = entropy;
  }
}

TEST(EntropyRouter, UniformProbabilitiesAndLoadsStayUniform) {
  for (double const share : settled_loads({.25f, .25f, .25f, .25f}, .5f)) EXPECT_NEAR(share, .25, .01);
  std::vector<float> scores(4);
  entropy_scores(std::vector<float>(4, std::log(.25f)), no_penalties(4).load, .5f, scores);
  for (float const score : scores) EXPECT_NEAR(score, std::log(.25), 1e-6);
}

TEST(EntropyRouter, PrefersWhatWasReadLess) {
  ExpertStats stats = no_penalties(3);
  stats.load = {.8f, .1f, .1f};
  auto const router = make("entropy", 3);
  EXPECT_EQ(ids_of(*router, {.5f, .1f, 0}, 3, stats), (Ids{1, 2, 0}));   // .5 - .5 log 2.4 = .06; .1 - .5 log .3 = .70
}

// Methods 2.7: (.9, .1 | .2, .3 | .5, .45 | .05, .4), k = 2.
TEST(HierarchicalRouter, TheWorkedExample) {
  std::vector<float> const scores{.9f, .1f, .2f, .3f, .5f, .45f, .05f, .4f};
  std::vector<std::int32_t> const group{0, 0, 1, 1, 2, 2, 3, 3};
  Ids chosen;
  GroupedChoice{group, 1}.choose(scores, 2, chosen);
  EXPECT_EQ(chosen, (Ids{0, 1}));
  GroupedChoice{group, 4}.choose(scores, 2, chosen);
  EXPECT_EQ(chosen, (Ids{0, 4})) << "all groups open: flat";
}

TEST(HierarchicalRouter, MeetsNoMoreGroupsThanItMay) {
  std::mt19937 bits{8};
  RouterMaterial material{.experts = 64, .group = {}, .seed = 0};
  for (KvExpert e = 0; e < 64; ++e) material.group.push_back(e / 8);
  auto const router = routers().at("hierarchical").make(material);
  for (int trial = 0; trial < 200; ++trial) {
    std::set<std::int32_t> met;
    for (KvExpert const e : ids_of(*router, random_affinity(64, bits), 16)) met.insert(e / 8);
    ASSERT_LE(met.size(), 4u);
  }
}

TEST(HierarchicalRouter, OpensMoreGroupsWhereTheBestHoldTooFewExperts) {
  std::vector<float> const scores{.1f, .9f, .2f, .3f, .4f};
  Ids chosen;
  GroupedChoice{{0, 1, 0, 0, 2}, 1}.choose(scores, 3, chosen);   // groups .6, .9, .4
  EXPECT_EQ(chosen, (Ids{1, 3, 2}));
}

TEST(HierarchicalRouter, AllGroupsOpenIsTopk) {
  std::mt19937 bits{4};
  auto const router = make("hierarchical", 20), flat = make("topk", 20);   // three groups
  for (int trial = 0; trial < 100; ++trial) {
    auto const z = random_affinity(20, bits);
    ASSERT_EQ(ids_of(*router, z, 6), ids_of(*flat, z, 6));
  }
}

}  // namespace
}  // namespace pikv::runtime
