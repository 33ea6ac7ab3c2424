#include <array>
#include <cmath>

#include "operations.hpp"
#include "random.hpp"

namespace pikv::kernels {
namespace {

using RotaryCases = OperationCases;

TEST_P(RotaryCases, TheTableHoldsTheAngleOfThePositionInFp32) {
  auto const positions = hold(std::vector<std::int32_t>{0, 1, 8191});
  Held<float> const held_cos{on(), 3 * 32}, held_sin{on(), 3 * 32};
  on().rotary_table(positions.data(), 3, 64, 1e5f, held_cos.data(), held_sin.data(), stream());
  auto const cos = held_cos.values(), sin = held_sin.values();
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t i = 0; i < 32; ++i) {
      double const angle = positions.values()[row] * std::pow(1e5, -2.0 * static_cast<double>(i) / 64);
      double const rounding = 2e-7 * angle + 1e-7;   // fp32 angles of long contexts are good to no more
      EXPECT_NEAR(cos[row * 32 + i], std::cos(angle), rounding);
      EXPECT_NEAR(sin[row * 32 + i], std::sin(angle), rounding);
    }
  }
}

TEST_P(RotaryCases, EqualsReference) {
  constexpr std::array<std::int32_t, 3> shapes[] = {{0, 4, 64}, {1, 1, 2}, {3, 2, 24}, {5, 3, 80}, {300, 4, 128}};   // rows, heads, d
  for (auto const& [rows, heads, d] : shapes) {
    auto wanted = random_floats(static_cast<std::size_t>(rows) * heads * d, 1);
    auto const x = hold(wanted);
    std::vector<std::int32_t> positions(rows);
    for (std::int32_t row = 0; row < rows; ++row) positions[row] = 3 * row + 1;
    auto const held_positions = hold(positions);
    Held<float> const cos{on(), static_cast<std::size_t>(rows) * d / 2}, sin{on(), cos.size()};
    on().rotary_table(held_positions.data(), rows, d, 1e4f, cos.data(), sin.data(), stream());
    on().rotary(x.data(), cos.data(), sin.data(), rows, heads, d, stream());
    reference::rotary(wanted.data(), cos.values().data(), sin.values().data(), rows, heads, d);
    expect_near(x.values(), wanted, 1e-6f);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, RotaryCases, ::testing::ValuesIn(backends()));

}  // namespace
}  // namespace pikv::kernels
