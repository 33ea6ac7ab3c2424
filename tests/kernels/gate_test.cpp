#include "kernels/gate.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "random.hpp"

namespace pikv::kernels {
namespace {

TEST(Gate, TakesTheLargestAndTheSmallerIdOfEquals) {
  std::vector<float> const logits{1, 3, 2, 3, 0, 0, 0, 0};
  std::int32_t ids[4];
  float weights[4];
  Stream stream;
  host::gate(logits.data(), 2, 4, 2, GateWeights::sum_to_one, ids, weights, nullptr, stream);
  EXPECT_EQ((std::vector<std::int32_t>(ids, ids + 4)), (std::vector<std::int32_t>{1, 3, 0, 1}));
  for (float weight : weights) EXPECT_NEAR(weight, 0.5, 1e-6);
}

TEST(Gate, WeightsAreTheSoftmaxOverTheChosen) {
  std::vector<float> const logits{0, std::log(2.0f), std::log(6.0f)};
  std::int32_t ids[2];
  float weights[2], probability[3];
  reference::gate(logits.data(), 1, 3, 2, GateWeights::sum_to_one, ids, weights, probability);
  EXPECT_EQ(ids[0], 2);
  EXPECT_NEAR(weights[0], 0.75, 1e-6);
  EXPECT_NEAR(weights[1], 0.25, 1e-6);
  EXPECT_NEAR(probability[0], 1.0 / 9, 1e-6);
  EXPECT_NEAR(probability[2], 6.0 / 9, 1e-6);
}

TEST(Gate, WeightsAreTheProbabilitiesWhereTheyAreNotRenormalised) {
  std::vector<float> const logits{0, std::log(2.0f), std::log(6.0f), 5, 6, 7};
  std::int32_t ids[4];
  float weights[4], probability[6];
  Stream stream;
  host::gate(logits.data(), 2, 3, 2, GateWeights::of_all, ids, weights, probability, stream);
  EXPECT_NEAR(weights[0], 6.0 / 9, 1e-6);
  EXPECT_NEAR(weights[1], 2.0 / 9, 1e-6);
  for (int i = 2; i < 4; ++i) EXPECT_EQ(weights[i], probability[3 + ids[i]]);
}

TEST(Gate, OrderIsDescendingAndWeightsSumToOneWhenAllAreChosen) {
  auto const logits = random_floats(40 * 8, 3, 30);
  std::vector<std::int32_t> ids(40 * 8);
  std::vector<float> weights(40 * 8), probability(40 * 8);
  Stream stream;
  host::gate(logits.data(), 40, 8, 8, GateWeights::sum_to_one, ids.data(), weights.data(), probability.data(), stream);
  for (std::size_t row = 0; row < 40; ++row) {
    for (std::size_t i = 0; i < 8; ++i) EXPECT_FLOAT_EQ(weights[row * 8 + i], probability[row * 8 + ids[row * 8 + i]]);
    for (std::size_t i = 1; i < 8; ++i) EXPECT_GE(logits[row * 8 + ids[row * 8 + i - 1]], logits[row * 8 + ids[row * 8 + i]]);
    EXPECT_NEAR(std::accumulate(&weights[row * 8], &weights[row * 8] + 8, 0.0), 1, 1e-6);
  }
}

}  // namespace
}  // namespace pikv::kernels
