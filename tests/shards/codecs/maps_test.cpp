#include "shards/codecs/maps.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <string>

#include "shards/codecs/map_error.hpp"
#include "shards/codecs/maps/lora.hpp"
#include "shards/codecs/maps/lora_plus.hpp"
#include "shards/codecs/maps/prune.hpp"
#include "shards/codecs/maps/rotate.hpp"
#include "shards/codecs/maps/svd.hpp"
#include "shards/codecs/quantised_error.hpp"
#include "tests/shards/codecs/moments_of.hpp"

namespace pikv::test {
namespace {

using shards::FullMap;
using shards::HeadMoments;
using shards::map_of_rank;
using shards::Part;

double tail(FullMap const& map, std::int32_t rank) { return std::accumulate(map.spectrum.begin() + rank, map.spectrum.end(), 0.0); }
Matrix const& rows_of(Problem const& data, Part part) { return part == Part::keys ? data.k : data.v; }

/// Mean over tokens of |x - x^|^2.
double squared(FullMap const& map, std::int32_t rank, Matrix const& x) {
  return (x - kept_by(map_of_rank(map, rank), x)).squaredNorm() / static_cast<double>(x.rows());
}
/// Mean over all pairs of a query and a key of the squared difference of their products; or mean over tokens of that of outputs.
double weighted(FullMap const& map, std::int32_t rank, Problem const& data, Part part) {
  Matrix const& x = rows_of(data, part);
  Matrix const lost = x - kept_by(map_of_rank(map, rank), x);
  if (part == Part::values) return (lost * data.w).squaredNorm() / static_cast<double>(x.rows());
  return (data.q * lost.transpose()).squaredNorm() / static_cast<double>(data.q.rows() * x.rows());
}

TEST(Maps, OfTheExampleOfMethods) {
  Matrix k(3, 2);
  k << 2, 0, 0, 1, 2, 1;
  FullMap const map = shards::lora_map(moments_of(k, k, k, Matrix::Identity(2, 2)), Part::keys);
  EXPECT_NEAR(3 * map.spectrum[0], 8.606, 1e-3);
  EXPECT_NEAR(3 * map.spectrum[1], 1.394, 1e-3);
  EXPECT_NEAR(map.encode[0], .957, 1e-3);
  EXPECT_NEAR(map.encode[1], .290, 1e-3);
  EXPECT_NEAR(3 * squared(map, 1, k), 1.394, 1e-3);
  EXPECT_NEAR(3 * squared(map, 1, k) / k.squaredNorm(), .139, 1e-3);
}

class MapFamilies : public ::testing::TestWithParam<std::string> {
 protected:
  FullMap map(HeadMoments const& moments, Part part) const { return shards::map_families().at(GetParam()).from_moments(moments, part); }
};

TEST_P(MapFamilies, LoseNothingAtFullRank) {
  for (Eigen::Index const d : {8, 64}) {
    Problem const data = problem(200, d, 0, 1);
    for (Part const part : {Part::keys, Part::values})
      EXPECT_LT(squared(map(data.moments(), part), static_cast<std::int32_t>(d), rows_of(data, part)), 1e-9 * static_cast<double>(d));
  }
}

TEST_P(MapFamilies, NeverLoseMoreOfWhatTheyWeighAtAHigherRank) {
  Problem const data = problem(120, 64, 24, 2);
  for (Part const part : {Part::keys, Part::values}) {
    FullMap const of = map(data.moments(), part);
    bool const plain = GetParam() == "svd" || GetParam() == "lora";
    double before = INFINITY;
    for (std::int32_t const rank : shards::rank_steps(64)) {
      double const now = plain || GetParam() == "prune" ? squared(of, rank, rows_of(data, part)) : weighted(of, rank, data, part);
      EXPECT_LE(now, before * (1 + 1e-9)) << rank;
      before = now;
    }
  }
}

TEST_P(MapFamilies, ErrorFromMomentsIsThatOfTheTokens) {
  Problem const data = problem(300, 32, 12, 3), later = problem(111, 32, 12, 4);
  HeadMoments const held_out = later.moments();
  for (Part const part : {Part::keys, Part::values}) {
    FullMap const of = map(data.moments(), part);
    for (std::int32_t const rank : {8, 16, 24}) {
      shards::MapError const error = shards::map_error(map_of_rank(of, rank), held_out, part);
      EXPECT_NEAR(error.squared, squared(of, rank, rows_of(later, part)), 1e-9 * error.squared);
      EXPECT_NEAR(error.weighted, weighted(of, rank, later, part), 1e-9 * error.weighted);
    }
  }
}

TEST_P(MapFamilies, AnErrorOfOneTokenIsNeverNegativeNorNan) {
  Matrix const one = gaussian(1, 16, 5);
  HeadMoments const moments = moments_of(one, one, one, Matrix::Identity(16, 16));
  for (Part const part : {Part::keys, Part::values}) {
    FullMap const of = map(moments, part);
    for (float const value : of.decode) EXPECT_TRUE(std::isfinite(value));
    EXPECT_GE(shards::map_error(map_of_rank(of, 8), moments, part).weighted, 0);
  }
}

TEST_P(MapFamilies, KeepingASecondTimeChangesNothing) {
  Problem const data = problem(100, 64, 0, 6);
  for (Part const part : {Part::keys, Part::values}) {
    auto const of = map_of_rank(map(data.moments(), part), 16);
    Matrix const once = kept_by(of, rows_of(data, part));
    EXPECT_LT((kept_by(of, once) - once).norm(), 1e-5 * once.norm());
  }
}

TEST_P(MapFamilies, TheirSpectraFall) {
  Problem const data = problem(100, 64, 8, 7);
  for (Part const part : {Part::keys, Part::values}) {
    FullMap const of = map(data.moments(), part);
    EXPECT_TRUE(std::is_sorted(of.spectrum.rbegin(), of.spectrum.rend()));
    EXPECT_GE(of.spectrum.back(), 0);
  }
}

std::vector<std::string> names_from_moments() {
  std::vector<std::string> names;
  for (auto const& [name, family] : shards::map_families())
    if (family.from_moments != nullptr) names.emplace_back(name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, MapFamilies, ::testing::ValuesIn(names_from_moments()), [](auto const& of) { return of.param; });

TEST(SvdMap, LosesTheTailOfItsSpectrum) {
  for (Eigen::Index const planted : {0, 8}) {
    Problem const data = problem(500, 64, planted, 8);
    FullMap const map = shards::svd_map(data.moments(), Part::keys);
    for (std::int32_t const rank : {4, 8, 16, 32}) EXPECT_NEAR(squared(map, rank, data.k), tail(map, rank), 1e-5 * (1 + tail(map, rank)));
  }
}

TEST(SvdMap, KeepsAPlantedRankUpToItsNoise) {
  Problem const data = problem(1000, 64, 8, 9);
  double const noise = .01 * .01 * (64 - 8);
  EXPECT_NEAR(squared(shards::svd_map(data.moments(), Part::keys), 8, data.k), noise, .1 * noise);
}

TEST(SvdMap, OfNoiseGainsNothing) {   // the tail is flat up to the spread of a sample's eigenvalues
  Problem const data = problem(8000, 64, 0, 10);
  EXPECT_NEAR(squared(shards::svd_map(data.moments(), Part::keys), 32, data.k), 32, 32 * .1);
}

TEST(SvdMap, IsOrthonormal) {
  FullMap const map = shards::svd_map(problem(300, 64, 0, 11).moments(), Part::values);
  Eigen::Map<Eigen::Matrix<float, 64, 64, Eigen::RowMajor> const> const basis{map.encode.data()};
  EXPECT_LT((basis * basis.transpose() - Eigen::Matrix<float, 64, 64>::Identity()).norm(), 1e-5f);
}

TEST(RotationMap, IsItsOwnInverseAndSpreadsWhatStandsOutOverItsBlock) {
  for (std::int32_t const d : {8, 24, 64, 80}) {
    FullMap const map = shards::rotation_map(d);
    Matrix const rotation = Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> const>{map.encode.data(), d, d}.cast<double>();
    EXPECT_LT((rotation * rotation - Matrix::Identity(d, d)).norm(), 1e-5);
    EXPECT_EQ(map.encode, map.decode);
    std::int32_t const block = d == 24 ? 8 : d == 80 ? 16 : d;
    EXPECT_NEAR(rotation.col(d - 1).cwiseAbs().maxCoeff(), 1 / std::sqrt(block), 1e-6);
    EXPECT_EQ((rotation.col(d - 1).array() != 0).count(), block);
  }
}

TEST(RotationMap, HalvesTheErrorOfCodesWhereAChannelStandsOut) {
  Problem data = problem(320, 64, 0, 12);
  data.v.col(5) *= 20;
  std::int32_t const rank = 64;
  Matrix const even = Matrix::Identity(64, 64);
  auto const error = [&](FullMap const& map) { return shards::code_errors(map, data.v, even, Part::values, 3, {&rank, 1}).front().squared; };
  EXPECT_LT(error(shards::rotation_map(64)), .5 * error(shards::identity_map(64)));
}

TEST(LoraMap, LosesTheTailOfItsSpectrum) {
  Problem const data = problem(500, 64, 24, 12);
  FullMap const map = shards::lora_map(data.moments(), Part::values);
  for (std::int32_t const rank : {8, 16, 32}) EXPECT_NEAR(squared(map, rank, data.v), tail(map, rank), 1e-6 * data.v.squaredNorm() / 500);
}

TEST(LoraPlusMap, WithoutARidgeLosesTheTailOfItsSpectrum) {
  Problem const data = problem(300, 32, 0, 13);
  for (Part const part : {Part::keys, Part::values}) {
    FullMap const map = shards::lora_plus_map(data.moments(), part, 0);
    for (std::int32_t const rank : {8, 16, 24}) EXPECT_NEAR(weighted(map, rank, data, part), tail(map, rank), 1e-5 * tail(map, rank));
  }
}

TEST(LoraPlusMap, NoOtherMapLosesLessOfLogitsAndOutputs) {
  for (Eigen::Index const planted : {0, 24}) {
    Problem const data = problem(120, 64, planted, 14);
    for (Part const part : {Part::keys, Part::values}) {
      FullMap const best = shards::lora_plus_map(data.moments(), part, 0);
      for (std::string const& name : names_from_moments()) {
        FullMap const other = shards::map_families().at(name).from_moments(data.moments(), part);
        for (std::int32_t const rank : {8, 16, 32})
          EXPECT_LE(weighted(best, rank, data, part), (1 + 1e-6) * weighted(other, rank, data, part)) << name << " " << rank;
      }
    }
  }
}

TEST(LoraPlusMap, IsSvdWhereAllDirectionsWeighTheSame) {
  Problem data = problem(300, 32, 12, 15);
  HeadMoments moments = data.moments();
  moments.q_second = list_of(3 * Matrix::Identity(32, 32));
  FullMap const plus = shards::lora_plus_map(moments, Part::keys), plain = shards::svd_map(moments, Part::keys);
  for (std::int32_t const rank : {8, 16})
    EXPECT_LT((kept_by(map_of_rank(plus, rank), data.k) - kept_by(map_of_rank(plain, rank), data.k)).norm(), 1e-5 * data.k.norm());
}

TEST(LoraPlusMap, ItsRidgeKeepsDirectionsThatNoQueryHas) {
  Problem data = problem(300, 16, 0, 16);
  data.q.rightCols(8).setZero();
  FullMap const map = shards::lora_plus_map(data.moments(), Part::keys);
  EXPECT_LT(squared(map, 16, data.k), 1e-8);
  for (float const value : map.decode) EXPECT_LT(std::abs(value), 100);
}

TEST(PruneMap, ScoresOfTheExampleOfMethods) {
  Matrix q(1, 3), k(1, 3);
  q << 1, 2, 1;
  k << 3, .1, 2;
  FullMap const map = shards::prune_map(moments_of(k, k, q, Matrix::Identity(3, 3)), Part::keys);
  EXPECT_NEAR(map.spectrum[0], 9, 1e-12);
  EXPECT_NEAR(map.spectrum[1], 4, 1e-12);
  EXPECT_NEAR(map.spectrum[2], .04, 1e-12);
  EXPECT_EQ(map_of_rank(map, 2).encode, (std::vector<float>{1, 0, 0, 0, 0, 1})) << "channel 1 is dropped";
}

TEST(PruneMap, IsMaskingWithZeros) {
  Problem const data = problem(50, 16, 0, 17);
  for (Part const part : {Part::keys, Part::values}) {
    auto const map = map_of_rank(shards::prune_map(data.moments(), part), 8);
    Matrix const& x = rows_of(data, part);
    Matrix const kept = kept_by(map, x);
    double lost = 0;
    int dropped = 0;
    for (Eigen::Index channel = 0; channel < 16; ++channel) {
      bool const zero = kept.col(channel).isZero(0);
      dropped += zero ? 1 : 0;
      if (zero) lost += x.col(channel).squaredNorm();
      else EXPECT_EQ(kept.col(channel), x.col(channel));
    }
    EXPECT_EQ(dropped, 8);
    EXPECT_NEAR((x - kept).squaredNorm(), lost, 1e-9);
  }
}

TEST(PruneMap, LogitsAreWrongByNoMoreThanTheDroppedChannelsAllow) {
  Problem const data = problem(50, 16, 0, 18);
  Matrix const kept = kept_by(map_of_rank(shards::prune_map(data.moments(), Part::keys), 8), data.k);
  double bound = 0;
  for (Eigen::Index channel = 0; channel < 16; ++channel)
    if (kept.col(channel).isZero(0)) bound += data.q.col(channel).norm() * data.k.col(channel).norm();
  EXPECT_LE((data.q * (data.k - kept).transpose()).norm(), bound);
}

TEST(PruneMap, ValuesWeighWhatTheOutputProjectionMakesOfThem) {
  Matrix v(1, 3), w(3, 2);
  v << 1, 2, 3;
  w << 3, 4, 1, 0, 0, 1;   // |rows|^2: 25, 1, 1
  FullMap const map = shards::prune_map(moments_of(v, v, v, w), Part::values);
  EXPECT_EQ(map.spectrum, (std::vector<double>{25, 9, 4}));
}

TEST(MapOfRank, PastTheHeadIsPaddedWithZeros) {
  Problem const data = problem(50, 12, 0, 19);
  auto const map = map_of_rank(shards::svd_map(data.moments(), Part::keys), 16);
  EXPECT_EQ(map.encode.size(), 16u * 12u);
  EXPECT_EQ(map.decode.size(), 12u * 16u);
  EXPECT_LT((kept_by(map, data.k) - data.k).norm(), 1e-5 * data.k.norm());
}

}  // namespace
}  // namespace pikv::test
