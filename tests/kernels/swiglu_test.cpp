#include "kernels/swiglu.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "random.hpp"
#include "targets.hpp"

namespace pikv::kernels {
namespace {

class SwigluTest : public ::testing::TestWithParam<std::size_t> {};

TEST_P(SwigluTest, HostEqualsReferenceOnEveryTarget) {
  auto const input = random_floats(GetParam(), 1, 20);
  auto const up = random_floats(GetParam(), 2);
  auto wanted = input;
  reference::swiglu(wanted.data(), up.data(), wanted.size());
  Stream stream;
  on_each_target([&] {
    auto gate = input;
    host::swiglu(gate.data(), up.data(), gate.size(), stream);
    for (std::size_t i = 0; i < gate.size(); ++i) EXPECT_NEAR(gate[i], wanted[i], 1e-6f * std::max(1.0f, std::abs(wanted[i]))) << "at " << i;
  });
}

INSTANTIATE_TEST_SUITE_P(Sizes, SwigluTest, ::testing::Values(0, 1, 15, 16, 17, 4096, 100003));

TEST(Swiglu, ExtremesGoToTheirLimits) {
  std::vector<float> gate(32, -1000.0f), up(32, 2.0f);
  std::fill_n(gate.begin(), 16, 1000.0f);
  Stream stream;
  host::swiglu(gate.data(), up.data(), 32, stream);
  EXPECT_EQ(gate[0], 2000);
  EXPECT_NEAR(gate[31], 0, 1e-30);
}

TEST(SimdTarget, HasAName) { EXPECT_GT(std::string{host::simd_target()}.size(), 2u); }

}  // namespace
}  // namespace pikv::kernels
