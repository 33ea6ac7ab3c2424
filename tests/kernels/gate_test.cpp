#include "kernels/gate.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace pikv::kernels {
namespace {

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

}  // namespace
}  // namespace pikv::kernels
