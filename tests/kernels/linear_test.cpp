#include "kernels/linear.hpp"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <tuple>

#include "random.hpp"
#include "targets.hpp"

namespace pikv::kernels {
namespace {

Stream stream;

class LinearTest : public ::testing::TestWithParam<std::tuple<DType, std::pair<std::int32_t, std::int32_t>, std::int32_t>> {};

TEST_P(LinearTest, HostEqualsReferenceOnEveryTarget) {
  auto const [dtype, shape, rows] = GetParam();
  auto const [out, in] = shape;
  auto const weights = random_stored(dtype, static_cast<std::size_t>(out) * in, 1);
  auto const x = random_floats(static_cast<std::size_t>(rows) * in, 2);
  MatrixView const w{weights.data(), dtype, out, in};
  std::vector<float> y(static_cast<std::size_t>(rows) * out, 7), wanted = y;
  reference::linear(x.data(), w, wanted.data(), rows);
  float const tolerance = 1e-6f * static_cast<float>(in + 10);
  on_each_target([&] {
    host::linear(x.data(), w, y.data(), rows, stream);
    for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], wanted[i], tolerance) << "at " << i;
  });
}

INSTANTIATE_TEST_SUITE_P(Sizes, LinearTest,
                         ::testing::Combine(::testing::Values(DType::f32, DType::bf16, DType::f16),
                                            ::testing::Values(std::pair{1, 1}, std::pair{8, 256}, std::pair{37, 24}, std::pair{130, 43},
                                                              std::pair{257, 640}),
                                            ::testing::Values(0, 1, 2, 3, 7, 16, 17, 33, 100)));

TEST(Linear, SplitsWeightsTooLargeForOneBlock) {
  std::int32_t const out = 700, in = 3000, rows = 20;
  auto const weights = random_stored(DType::bf16, static_cast<std::size_t>(out) * in, 1);
  auto const x = random_floats(static_cast<std::size_t>(rows) * in, 2);
  MatrixView const w{weights.data(), DType::bf16, out, in};
  std::vector<float> y(static_cast<std::size_t>(rows) * out), wanted = y;
  host::linear(x.data(), w, y.data(), rows, stream);
  reference::linear(x.data(), w, wanted.data(), rows);
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], wanted[i], 2e-3) << "at " << i;
}

TEST(Linear, ARowIsTheSameAmongOthersAndForAnyThreads) {
  std::int32_t const out = 300, in = 1024;
  auto const weights = random_stored(DType::bf16, static_cast<std::size_t>(out) * in, 1);
  auto const x = random_floats(static_cast<std::size_t>(7) * in, 2);
  MatrixView const w{weights.data(), DType::bf16, out, in};
  std::vector<float> together(static_cast<std::size_t>(7) * out), alone = together;
  omp_set_num_threads(2);
  host::linear(x.data(), w, together.data(), 7, stream);
  omp_set_num_threads(1);
  for (std::int32_t row = 0; row < 7; ++row) host::linear(x.data() + row * in, w, alone.data() + row * out, 1, stream);
  EXPECT_EQ(together, alone);
}

}  // namespace
}  // namespace pikv::kernels
