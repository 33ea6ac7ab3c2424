#include "runtime/sampler.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <set>

#include "comm/error.hpp"
#include "tests/shards/allocations.hpp"

namespace pikv::runtime {
namespace {

constexpr int draws = 100'000;
std::vector<float> const logits{0.f, 2.f, 1.f, -1.f, 2.5f, 0.5f};

std::vector<int> counts_of(std::vector<float> const& from, SamplingOptions const& options) {
  Sampler sampler{static_cast<std::int32_t>(from.size())};
  std::vector<int> counts(from.size());
  for (std::uint64_t i = 0; i < draws; ++i) ++counts[static_cast<std::size_t>(sampler.sample(from, options, i % 7, i))];
  return counts;
}

/// Chi-square against the softmax of the allowed ids at this temperature; an id that is not allowed must never come.
double chi_square(std::vector<int> const& counts, std::set<std::size_t> const& allowed, double temperature) {
  double sum = 0, result = 0;
  for (std::size_t const i : allowed) sum += std::exp(logits[i] / temperature);
  for (std::size_t i = 0; i < counts.size(); ++i) {
    double const expected = allowed.contains(i) ? draws * std::exp(logits[i] / temperature) / sum : 0;
    if (expected > 0) {
      result += (counts[i] - expected) * (counts[i] - expected) / expected;
    } else {
      EXPECT_EQ(counts[i], 0) << "id " << i;
    }
  }
  return result;
}

TEST(Sampler, IsGreedyAtTemperatureZeroAndTakesTheSmallestIdOfATie) {
  Sampler sampler{6};
  EXPECT_EQ(sampler.sample(logits, {}, 1, 2), 4);
  EXPECT_EQ(sampler.sample(std::vector<float>{1, 3, 3, 2, 3, 0}, {}, 1, 2), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{-5, -5, -5, -5, -5, -5}, {}, 1, 2), 0);
}

TEST(Sampler, IsGreedyWithTopKOfOneWithATinyTopPAndWithATinyTemperature) {
  for (SamplingOptions const& options : {SamplingOptions{.temperature = 3, .top_k = 1}, SamplingOptions{.temperature = 3, .top_p = 1e-9f},
                                         SamplingOptions{.temperature = 1e-6f}, SamplingOptions{.temperature = std::numeric_limits<float>::min()}})
    EXPECT_EQ(counts_of(logits, options)[4], draws);
}

TEST(Sampler, BreaksATieForTheLastPlaceByTheSmallerId) {
  auto const counts = counts_of({1, 5, 1, 1}, {.temperature = 2, .top_k = 2});
  EXPECT_GT(counts[0], 0);
  EXPECT_EQ(counts[2] + counts[3], 0);
}

// 99.99% quantiles of chi-square: 25.7 with 5 degrees of freedom, 21.1 with 3, 18.4 with 2
TEST(Sampler, DrawsFromTheSoftmax) {
  EXPECT_LT(chi_square(counts_of(logits, {.temperature = 1}), {0, 1, 2, 3, 4, 5}, 1), 25.7);
  EXPECT_LT(chi_square(counts_of(logits, {.temperature = 0.7f, .seed = 9}), {0, 1, 2, 3, 4, 5}, 0.7f), 25.7);
  EXPECT_LT(chi_square(counts_of(logits, {.temperature = 1, .top_k = 6, .top_p = 1}), {0, 1, 2, 3, 4, 5}, 1), 25.7);
  EXPECT_LT(chi_square(counts_of(logits, {.temperature = 1, .top_k = 100}), {0, 1, 2, 3, 4, 5}, 1), 25.7);
}

TEST(Sampler, KeepsTheKLargest) { EXPECT_LT(chi_square(counts_of(logits, {.temperature = 1.5f, .top_k = 4}), {1, 2, 4, 5}, 1.5), 21.1); }

TEST(Sampler, KeepsTheSmallestSetThatReachesP) {
  // probabilities, descending: 4: 0.454, 1: 0.276, 2: 0.101, 5: 0.062 ...
  EXPECT_LT(chi_square(counts_of(logits, {.temperature = 1, .top_p = 0.8f}), {1, 2, 4}, 1), 18.4);
  EXPECT_LT(chi_square(counts_of(logits, {.temperature = 1, .top_p = 0.5f}), {1, 4}, 1), 15.2);
  EXPECT_LT(chi_square(counts_of(logits, {.temperature = 1, .top_p = 0.9999f}), {0, 1, 2, 3, 4, 5}, 1), 25.7);
}

TEST(Sampler, AppliesTopPToWhatTopKLeft) {
  // of the two left, id 4 has 0.622: enough for 0.6, not for 0.63
  EXPECT_EQ(counts_of(logits, {.temperature = 1, .top_k = 2, .top_p = 0.6f})[4], draws);
  EXPECT_LT(chi_square(counts_of(logits, {.temperature = 1, .top_k = 2, .top_p = 0.63f}), {1, 4}, 1), 15.2);
}

TEST(Sampler, IsUniformAtAnEndlessTemperature) {
  auto const counts = counts_of(logits, {.temperature = std::numeric_limits<float>::max()});
  double distance = 0;
  for (int const count : counts) distance += (count - draws / 6.) * (count - draws / 6.) / (draws / 6.);
  EXPECT_LT(distance, 25.7);
}

TEST(Sampler, TakesLogitsFarApart) {
  constexpr float far = std::numeric_limits<float>::max();
  EXPECT_EQ(counts_of({-far, far, 0, -far}, {.temperature = 1})[1], draws);
}

TEST(Sampler, DependsOnSeedRequestAndIndexAlone) {
  SamplingOptions const options{.temperature = 2, .seed = 5};
  Sampler one{6}, other{6};
  std::vector<std::int32_t> forward(300), backward(300);
  for (std::uint64_t i = 0; i < 300; ++i) forward[i] = one.sample(logits, options, i / 100, i % 100);
  for (std::uint64_t i = 300; i-- > 0;) {
    (void)other.sample(logits, {.temperature = 1, .top_k = 2}, 77, i);
    backward[i] = other.sample(logits, options, i / 100, i % 100);
  }
  EXPECT_EQ(forward, backward);
}

TEST(CounterUniform, ChangesWithEachOfItsArguments) {
  std::set<double> seen;
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    for (std::uint64_t request = 0; request < 20; ++request)
      for (std::uint64_t index = 0; index < 20; ++index) {
        double const u = counter_uniform(seed, request, index);
        ASSERT_GE(u, 0);
        ASSERT_LT(u, 1);
        seen.insert(u);
      }
  EXPECT_EQ(seen.size(), 8000u);
}

TEST(Sampler, RefusesLogitsThatAreNotFinite) {
  for (float const bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()})
    for (float const temperature : {0.f, 1.f})
      for (std::size_t place = 0; place < logits.size(); ++place) {
        auto damaged = logits;
        damaged[place] = bad;
        EXPECT_THROW(Sampler{6}.sample(damaged, {.temperature = temperature}, 0, 0), RunError);
      }
}

TEST(Sampler, AllocatesNothingPerToken) {
  Sampler sampler{6};
  auto const before = test::allocations();
  for (std::uint64_t i = 0; i < 1000; ++i)
    for (float const temperature : {0.f, 1.f}) (void)sampler.sample(logits, {.temperature = temperature, .top_k = 5, .top_p = 0.9f}, 0, i);
  EXPECT_EQ(test::allocations(), before);
}

}   // namespace
}   // namespace pikv::runtime
