#include "shards/codecs/rank_allocation.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace pikv::test {
namespace {

using Spectra = std::vector<std::vector<double>>;

Spectra random_spectra(std::size_t maps, std::size_t d, unsigned seed) {
  std::mt19937 random{seed};
  std::exponential_distribution<double> draw{1};
  Spectra spectra(maps, std::vector<double>(d));
  for (auto& spectrum : spectra) {
    double const scale = std::exp(3 * draw(random));
    for (double& value : spectrum) value = scale * draw(random);
    std::sort(spectrum.rbegin(), spectrum.rend());
  }
  return spectra;
}

double lost(Spectra const& spectra, std::vector<std::int32_t> const& ranks) {
  double sum = 0;
  for (std::size_t i = 0; i < spectra.size(); ++i) sum = std::accumulate(spectra[i].begin() + ranks[i], spectra[i].end(), sum);
  return sum;
}

/// The least that can be lost, by trying everything.
double least_lost(Spectra const& spectra, std::int32_t budget, std::vector<std::int32_t>& ranks) {
  if (ranks.size() == spectra.size()) return std::accumulate(ranks.begin(), ranks.end(), 0) <= budget ? lost(spectra, ranks) : INFINITY;
  double least = INFINITY;
  for (std::int32_t rank = 8; rank <= static_cast<std::int32_t>(spectra[ranks.size()].size()); rank += 8) {
    ranks.push_back(rank);
    least = std::min(least, least_lost(spectra, budget, ranks));
    ranks.pop_back();
  }
  return least;
}

TEST(RankAllocation, NothingElseLosesLess) {
  for (unsigned seed = 0; seed < 20; ++seed)
    for (double const mean : {8., 12., 16., 22., 32.}) {
      Spectra const spectra = random_spectra(4, 32, seed);
      auto const ranks = shards::allocate_ranks(spectra, mean);
      std::vector<std::int32_t> none;
      EXPECT_NEAR(lost(spectra, ranks), least_lost(spectra, static_cast<std::int32_t>(4 * mean), none), 1e-9) << seed << " " << mean;
    }
}

TEST(RankAllocation, IsMultiplesOfEightWithinTheBudget) {
  Spectra const spectra = random_spectra(60, 128, 3);
  for (double const mean : {8., 9.5, 32., 64., 128., 500.}) {
    auto const ranks = shards::allocate_ranks(spectra, mean);
    for (std::int32_t const rank : ranks) {
      EXPECT_EQ(rank % 8, 0);
      EXPECT_GE(rank, 8);
      EXPECT_LE(rank, 128);
    }
    double const sum = std::accumulate(ranks.begin(), ranks.end(), 0);
    EXPECT_LE(sum, mean * 60);
    EXPECT_GT(sum, std::min(mean, 128.) * 60 - 8) << "what is left would not pay for another step";
  }
}

TEST(RankAllocation, LosesNoMoreThanTheSameRankEverywhere) {
  Spectra const spectra = random_spectra(30, 64, 4);
  EXPECT_LE(lost(spectra, shards::allocate_ranks(spectra, 32)), lost(spectra, std::vector<std::int32_t>(30, 32)));
}

TEST(RankAllocation, OfEqualSpectraIsEven) {
  Spectra const spectra(5, random_spectra(1, 64, 5)[0]);
  EXPECT_EQ(shards::allocate_ranks(spectra, 16), std::vector<std::int32_t>(5, 16));
}

TEST(RankAllocation, TakesAHeadOfAnOddSizeWhole) {
  Spectra const spectra{{9, 8, 7, 6, 5, 4, 3, 2, 1, 1, 1, 1}, {3, 3}};
  EXPECT_EQ(shards::allocate_ranks(spectra, 100), (std::vector<std::int32_t>{12, 2}));
}

}  // namespace
}  // namespace pikv::test
