#include <cmath>
#include <numeric>

#include "operations.hpp"
#include "random.hpp"

namespace pikv::kernels {
namespace {

struct Choice {
  std::vector<std::int32_t> ids;
  std::vector<float> weights, probability;
};

class GateCases : public OperationCases {
 protected:
  Choice choose(std::vector<float> const& logits, std::int32_t rows, std::int32_t experts, std::int32_t k, GateWeights rule) {
    auto const held = hold(logits);
    Held<std::int32_t> const ids{on(), static_cast<std::size_t>(rows) * k};
    Held<float> const weights{on(), ids.size()}, probability{on(), logits.size()};
    on().gate(held.data(), rows, experts, k, rule, ids.data(), weights.data(), nullptr, stream());
    Choice const without{ids.values(), weights.values(), {}};
    on().gate(held.data(), rows, experts, k, rule, ids.data(), weights.data(), probability.data(), stream());
    EXPECT_EQ(ids.values(), without.ids);
    EXPECT_EQ(weights.values(), without.weights);
    return {ids.values(), weights.values(), probability.values()};
  }
};

TEST_P(GateCases, TakesTheLargestAndTheSmallerIdOfEquals) {
  Choice const got = choose({1, 3, 2, 3, 0, 0, 0, 0}, 2, 4, 2, GateWeights::sum_to_one);
  EXPECT_EQ(got.ids, (std::vector<std::int32_t>{1, 3, 0, 1}));
  for (float const weight : got.weights) EXPECT_NEAR(weight, 0.5, 1e-6);
}

TEST_P(GateCases, WeightsAreTheProbabilitiesWhereTheyAreNotRenormalised) {
  Choice const got = choose({0, std::log(2.0f), std::log(6.0f), 5, 6, 7}, 2, 3, 2, GateWeights::of_all);
  EXPECT_NEAR(got.weights[0], 6.0 / 9, 1e-6);
  EXPECT_NEAR(got.weights[1], 2.0 / 9, 1e-6);
  for (int i = 2; i < 4; ++i) EXPECT_EQ(got.weights[i], got.probability[3 + got.ids[i]]);
}

TEST_P(GateCases, OrderIsDescendingAndWeightsSumToOneWhenAllAreChosen) {
  auto const logits = random_floats(40 * 8, 3, 30);
  Choice const got = choose(logits, 40, 8, 8, GateWeights::sum_to_one);
  for (std::size_t row = 0; row < 40; ++row) {
    for (std::size_t i = 0; i < 8; ++i) EXPECT_FLOAT_EQ(got.weights[row * 8 + i], got.probability[row * 8 + got.ids[row * 8 + i]]);
    for (std::size_t i = 1; i < 8; ++i) EXPECT_GE(logits[row * 8 + got.ids[row * 8 + i - 1]], logits[row * 8 + got.ids[row * 8 + i]]);
    EXPECT_NEAR(std::accumulate(&got.weights[row * 8], &got.weights[row * 8] + 8, 0.0), 1, 1e-6);
  }
}

TEST_P(GateCases, EqualsReferenceForManyExpertsSomeOfThemTied) {
  for (auto const& [rows, experts, k] : {std::array{0, 8, 2}, {1, 1, 1}, {5, 8, 2}, {3, 33, 33}, {6, 60, 4}, {9, 256, 8}, {2, 100, 40}}) {
    auto logits = random_floats(static_cast<std::size_t>(rows) * experts, 7);
    for (float& logit : logits) logit = std::round(4 * logit) / 4;   // many ties
    for (GateWeights const rule : {GateWeights::of_all, GateWeights::sum_to_one}) {
      Choice const got = choose(logits, rows, experts, k, rule);
      Choice wanted = got;
      reference::gate(logits.data(), rows, experts, k, rule, wanted.ids.data(), wanted.weights.data(), wanted.probability.data());
      EXPECT_EQ(got.ids, wanted.ids);
      expect_near(got.weights, wanted.weights, 1e-6f);
      expect_near(got.probability, wanted.probability, 1e-6f);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, GateCases, ::testing::ValuesIn(backends()));

}  // namespace
}  // namespace pikv::kernels
