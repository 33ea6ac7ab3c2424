#include "kernels/rotary.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace pikv::kernels {
namespace {

TEST(Rotary, TurnsPairsHalfAHeadApart) {   // a quarter turn: (x, y) becomes (-y, x)
  std::vector<float> x{1, 2, 3, 4};
  std::vector<float> const cos{0, 1}, sin{1, 0};
  reference::rotary(x.data(), cos.data(), sin.data(), 1, 1, 4);
  EXPECT_EQ(x, (std::vector<float>{-3, 2, 1, 4}));
}

}  // namespace
}  // namespace pikv::kernels
