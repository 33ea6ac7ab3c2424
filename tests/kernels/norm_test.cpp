#include "kernels/norm.hpp"

#include <gtest/gtest.h>

#include "random.hpp"

namespace pikv::kernels {
namespace {

Stream stream;

TEST(RmsNorm, IsTheFormula) {   // mean of squares of (3, 4) is 12.5
  std::vector<float> const x{3, 4}, weight{1, 2};
  std::vector<float> y(2);
  reference::rms_norm(x.data(), weight.data(), 0, y.data(), 1, 2);
  EXPECT_NEAR(y[0], 3 / 3.5355339, 1e-6);
  EXPECT_NEAR(y[1], 8 / 3.5355339, 1e-6);
}

class NormTest : public ::testing::TestWithParam<std::pair<std::int32_t, std::int32_t>> {};

TEST_P(NormTest, HostEqualsReferenceInPlace) {
  auto const [rows, n] = GetParam();
  auto x = random_floats(static_cast<std::size_t>(rows) * n, 1, 3);
  auto const weight = random_floats(n, 2);
  std::vector<float> wanted(x.size());
  reference::rms_norm(x.data(), weight.data(), 1e-5f, wanted.data(), rows, n);
  host::rms_norm(x.data(), weight.data(), 1e-5f, x.data(), rows, n, stream);
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], wanted[i], 1e-5) << "at " << i;
}

TEST_P(NormTest, AddsElementByElement) {
  auto const [rows, n] = GetParam();
  auto const x = random_floats(static_cast<std::size_t>(rows) * n, 1), y = random_floats(x.size(), 2);
  auto sum = y;
  host::add(sum.data(), x.data(), x.size(), stream);
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(sum[i], y[i] + x[i]);
}

INSTANTIATE_TEST_SUITE_P(Sizes, NormTest,
                         ::testing::Values(std::pair{0, 8}, std::pair{1, 1}, std::pair{3, 15}, std::pair{2, 256}, std::pair{1000, 257}));

}  // namespace
}  // namespace pikv::kernels
