#include "kernels/rotary.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "random.hpp"

namespace pikv::kernels {
namespace {

Stream stream;

TEST(RotaryTable, HoldsTheAngleOfThePositionInFp32) {
  std::vector<std::int32_t> const positions{0, 1, 8191};
  std::vector<float> cos(3 * 32), sin(3 * 32);
  host::rotary_table(positions.data(), 3, 64, 1e5f, cos.data(), sin.data(), stream);
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t i = 0; i < 32; ++i) {
      double const angle = positions[row] * std::pow(1e5, -2.0 * static_cast<double>(i) / 64);
      double const rounding = 2e-7 * angle + 1e-7;   // fp32 angles of long contexts are good to no more
      EXPECT_NEAR(cos[row * 32 + i], std::cos(angle), rounding);
      EXPECT_NEAR(sin[row * 32 + i], std::sin(angle), rounding);
    }
  }
}

TEST(Rotary, TurnsPairsHalfAHeadApart) {   // a quarter turn: (x, y) becomes (-y, x)
  std::vector<float> x{1, 2, 3, 4};
  std::vector<float> const cos{0, 1}, sin{1, 0};
  reference::rotary(x.data(), cos.data(), sin.data(), 1, 1, 4);
  EXPECT_EQ(x, (std::vector<float>{-3, 2, 1, 4}));
}

class RotaryTest : public ::testing::TestWithParam<std::array<std::int32_t, 3>> {};

TEST_P(RotaryTest, HostEqualsReference) {
  auto const [rows, heads, d] = GetParam();
  auto x = random_floats(static_cast<std::size_t>(rows) * heads * d, 1);
  auto wanted = x;
  std::vector<std::int32_t> positions(rows);
  for (std::int32_t row = 0; row < rows; ++row) positions[row] = 3 * row + 1;
  std::vector<float> cos(static_cast<std::size_t>(rows) * d / 2), sin(cos.size());
  host::rotary_table(positions.data(), rows, d, 1e4f, cos.data(), sin.data(), stream);
  host::rotary(x.data(), cos.data(), sin.data(), rows, heads, d, stream);
  reference::rotary(wanted.data(), cos.data(), sin.data(), rows, heads, d);
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], wanted[i], 1e-6) << "at " << i;
}

INSTANTIATE_TEST_SUITE_P(Shapes, RotaryTest,
                         ::testing::Values(std::array{0, 4, 64}, std::array{1, 1, 2}, std::array{3, 2, 24}, std::array{5, 3, 80},
                                           std::array{300, 4, 128}));

}  // namespace
}  // namespace pikv::kernels
