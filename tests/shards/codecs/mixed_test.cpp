#include "shards/codecs/mixed.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/coded.hpp"
#include "moments_of.hpp"
#include "shards/codecs/mixed_error.hpp"
#include "shards/codecs/quantised_error.hpp"

namespace pikv::test {
namespace {

using namespace shards;
using Bits = std::vector<std::uint8_t>;

double lost(std::vector<std::vector<double>> const& weights, std::vector<Bits> const& bits) {
  double sum = 0;
  for (std::size_t head = 0; head < weights.size(); ++head)
    for (std::size_t j = 0; j < weights[head].size(); ++j) sum += weights[head][j] / std::pow(std::exp2(bits[head][j / 8]) - 1, 2);
  return sum;
}

TEST(MixedBits, NoOtherChoiceOfKeysLosesLess) {
  std::vector<std::vector<double>> const weights{std::vector<double>(24, 1.0), std::vector<double>(24, 0.01)};
  auto uneven = weights;
  for (std::size_t j = 0; j < 8; ++j) uneven[0][j] = 40, uneven[1][j] = 3;
  for (double const mean : {2.0, 2.5, 3.0, 3.34, 4.0}) {
    auto const bits = key_bits(uneven, mean);
    double least = 1e300;
    for (int choice = 0; choice < 729; ++choice) {   // 3^6
      std::vector<Bits> other(2, Bits(3));
      int spent = 0;
      for (int at = 0, rest = choice; at < 6; ++at, rest /= 3) spent += other[static_cast<std::size_t>(at / 3)][static_cast<std::size_t>(at % 3)] = static_cast<std::uint8_t>(2 + rest % 3);
      if (spent <= mean * 6 + 1e-9) least = std::min(least, lost(uneven, other));
    }
    EXPECT_NEAR(lost(uneven, bits), least, 1e-9 * least) << mean;
  }
}

TEST(MixedBits, OfValuesAreAlikeInAGroupAndAtMostTheMean) {
  EXPECT_EQ(value_bits(64, 3.5), (Bits{4, 4, 4, 4, 3, 3, 3, 3}));
  EXPECT_EQ(value_bits(64, 3.25), Bits(8, 3));
  EXPECT_EQ(value_bits(128, 3.25), (Bits{4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3}));
  EXPECT_EQ(value_bits(40, 4), Bits(5, 4));
  EXPECT_EQ(value_bits(40, 2.5), (Bits{3, 3, 3, 3, 2}));
}

TEST(MixedBits, KeysAreSortedByWhatTheyWeighAndNothingElseChanges) {
  HeadMoments moments{.head_dim = 8, .tokens = 10, .queries = 10, .k_mean = {1, 0, 0, 0, 0, 0, 0, 0}, .v_mean = std::vector<double>(8), .k_second = {}, .v_second = std::vector<double>(64), .q_second = {}, .o_gram = std::vector<double>(64)};
  std::vector<double> const k{3, 5, 1, 0, 2, 2, 2, 2}, q{1, 1, 9, 1, 2, 1, 8, 0};   // variances; 3 is 1 + 2
  moments.k_second.assign(64, 0);
  moments.q_second.assign(64, 0);
  for (std::size_t i = 0; i < 8; ++i) moments.k_second[9 * i] = k[i], moments.q_second[9 * i] = q[i];
  RankMap map = map_of_rank(identity_map(8), 8);
  auto weights = key_weights(map, moments);
  std::vector<double> const wanted{2, 5, 9, 0, 4, 2, 16, 0};
  for (std::size_t i = 0; i < 8; ++i) EXPECT_NEAR(weights[i], wanted[i], 1e-12);
  sort_numbers(map, weights);
  EXPECT_TRUE(std::ranges::is_sorted(weights, std::greater{}));
  std::vector<std::size_t> const order{6, 2, 1, 4, 0, 5, 3, 7};
  for (std::size_t j = 0; j < 8; ++j)
    for (std::size_t i = 0; i < 8; ++i) {
      EXPECT_EQ(map.encode[j * 8 + i], i == order[j] ? 1 : 0);
      EXPECT_EQ(map.decode[i * 8 + j], i == order[j] ? 1 : 0);
    }
}

TEST(MixedBits, AnErrorsShareOfALaterNumberIsWhatTheirQueriesShare) {
  HeadMoments moments{.head_dim = 8, .tokens = 10, .queries = 10, .k_mean = std::vector<double>(8), .v_mean = std::vector<double>(8), .k_second = std::vector<double>(64), .v_second = std::vector<double>(64), .q_second = std::vector<double>(64), .o_gram = std::vector<double>(64)};
  for (std::size_t i = 0; i < 8; ++i) moments.q_second[9 * i] = 2;
  moments.q_second[2 * 8 + 5] = moments.q_second[5 * 8 + 2] = 1.5;   // numbers 2 and 5 of a query go together
  auto const feedback = key_feedback(map_of_rank(identity_map(8), 8), moments);
  for (std::size_t i = 0; i < 8; ++i)
    for (std::size_t j = 0; j < 8; ++j) EXPECT_NEAR(feedback[i * 8 + j], i == 2 && j == 5 ? 1.5 / (2 + .01 * 2) : 0, 1e-6) << i << ' ' << j;
}

// As they are stored, by the reference: what the feedback is for.
TEST(MixedBits, LogitsLoseLessWithFeedback) {
  Eigen::Index const d = 32, tokens = 64;
  Matrix const keys = gaussian(tokens, d, 1), queries = gaussian(200, 6, 2) * gaussian(6, d, 3) + .2 * gaussian(200, d, 4);
  HeadMoments const moments = moments_of(keys, keys, queries, gaussian(d, 4, 5));
  kernels::PageLayout const page{kernels::DType::f32, 1, static_cast<std::int32_t>(tokens), static_cast<std::int32_t>(d)};
  auto const loss = [&](bool fed) {
    OrderedKeys const ordered = ordered_keys({map_of_rank(identity_map(32), 32)}, std::span{&moments, 1});
    auto const bits = key_bits(ordered.weights, 3);
    RankMap const& map = ordered.maps.front();
    kernels::LinearMap const view{map.rank, map.encode.data(), map.decode.data(), map.mean.data(), true, fed ? map.feedback.data() : nullptr};
    std::vector<Bits> const value{value_bits(32, 3)};
    kernels::CodedShape const shape{page, {kernels::Element::mixed, std::span{&view, 1}, 0, bits}, {kernels::Element::mixed, {}, 0, value}};
    std::vector<std::byte> plain(page.bytes()), coded(shape.layout().bytes);
    kernels::PoolView const pool{plain.data(), plain.size(), page};
    Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> stored{reinterpret_cast<float*>(plain.data()), tokens, d};
    stored = keys.cast<float>();
    kernels::reference::encode_page(pool, 0, shape.layout(), coded.data());
    kernels::reference::decode_page(shape.layout(), coded.data(), pool, 0);
    double const lost = ((keys - stored.cast<double>()) * queries.transpose()).squaredNorm();
    if (fed) {
      EXPECT_NEAR(mixed_error(map, bits.front(), keys, part_moments(moments, Part::keys).weight, Part::keys).weighted * 64 * 200, lost, 1e-3 * lost);
    }
    return lost;
  };
  EXPECT_LT(loss(true), .6 * loss(false));
}

}  // namespace
}  // namespace pikv::test
