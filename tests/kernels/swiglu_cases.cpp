#include <cmath>

#include "operations.hpp"
#include "random.hpp"

namespace pikv::kernels {
namespace {

using SwigluCases = OperationCases;

TEST_P(SwigluCases, EqualsReference) {
  for (std::size_t const count : {0, 1, 15, 16, 17, 4096, 100003}) {
    auto const input = random_floats(count, 1, 20), up = random_floats(count, 2);
    auto wanted = input;
    reference::swiglu(wanted.data(), up.data(), count);
    auto const held_up = hold(up);
    on().on_each_path([&] {
      auto const gate = hold(input);
      on().swiglu(gate.data(), held_up.data(), count, stream());
      expect_near(gate.values(), wanted, 1e-6f, true);
    });
  }
}

TEST_P(SwigluCases, ExtremesGoToTheirLimits) {
  std::vector<float> input(32, -1000.0f), up(32, 2.0f);
  std::fill_n(input.begin(), 16, 1000.0f);
  auto const gate = hold(input), held_up = hold(up);
  on().swiglu(gate.data(), held_up.data(), 32, stream());
  EXPECT_EQ(gate.values()[0], 2000);
  EXPECT_NEAR(gate.values()[31], 0, 1e-30);
}

INSTANTIATE_TEST_SUITE_P(Backends, SwigluCases, ::testing::ValuesIn(backends()));

}  // namespace
}  // namespace pikv::kernels
