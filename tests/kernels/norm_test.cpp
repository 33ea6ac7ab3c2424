#include "kernels/norm.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace pikv::kernels {
namespace {

TEST(RmsNorm, IsTheFormula) {   // mean of squares of (3, 4) is 12.5
  std::vector<float> const x{3, 4}, weight{1, 2};
  std::vector<float> y(2);
  reference::rms_norm(x.data(), weight.data(), 0, y.data(), 1, 2);
  EXPECT_NEAR(y[0], 3 / 3.5355339, 1e-6);
  EXPECT_NEAR(y[1], 8 / 3.5355339, 1e-6);
}

}  // namespace
}  // namespace pikv::kernels
