#include "kernels/rows.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace pikv::kernels {
namespace {

TEST(WeightedRows, AreTheFormula) {
  std::vector<float> const first{1, 2}, second{10, 20}, weights{.5f, .25f};
  float const* const y[] = {second.data(), first.data()};
  std::vector<float> x{100, 200};
  reference::add_weighted(x.data(), weights.data(), y, 1, 2, 2);
  EXPECT_EQ(x, (std::vector<float>{100 + 5 + .25f, 200 + 10 + .5f}));
}

// 1 + 2^-24 is 1 to an fp32: what is added first matters.
TEST(WeightedRows, AreRoundedInTheirOrder) {
  float const one = 1, small = 0x1p-24f;
  std::vector<float> const weights{1, 1, 1};
  float const *const small_first[] = {&small, &small, &one}, *const one_first[] = {&one, &small, &small};
  float x = 0, y = 0;
  reference::add_weighted(&x, weights.data(), small_first, 1, 3, 1);
  reference::add_weighted(&y, weights.data(), one_first, 1, 3, 1);
  EXPECT_EQ(x, 1 + 0x1p-23f);
  EXPECT_EQ(y, 1);
}

}  // namespace
}  // namespace pikv::kernels
