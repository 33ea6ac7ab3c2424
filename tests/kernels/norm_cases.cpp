#include "operations.hpp"
#include "random.hpp"

namespace pikv::kernels {
namespace {

using NormCases = OperationCases;

constexpr std::pair<std::int32_t, std::int32_t> norm_sizes[] = {{0, 8}, {1, 1}, {3, 15}, {2, 256}, {1000, 257}};   // rows, n

TEST_P(NormCases, EqualsReferenceInPlace) {
  for (auto const& [rows, n] : norm_sizes) {
    auto const x = random_floats(static_cast<std::size_t>(rows) * n, 1, 3), weight = random_floats(n, 2);
    std::vector<float> wanted(x.size());
    reference::rms_norm(x.data(), weight.data(), 1e-5f, wanted.data(), rows, n);
    auto const held = hold(x), held_weight = hold(weight);
    on().rms_norm(held.data(), held_weight.data(), 1e-5f, held.data(), rows, n, stream());
    expect_near(held.values(), wanted, 1e-5f);
  }
}

TEST_P(NormCases, AddsElementByElement) {
  for (auto const& [rows, n] : norm_sizes) {
    auto const x = random_floats(static_cast<std::size_t>(rows) * n, 1), y = random_floats(x.size(), 2);
    std::vector<float> wanted = y;
    for (std::size_t i = 0; i < x.size(); ++i) wanted[i] += x[i];
    auto const sum = hold(y), added = hold(x);
    on().add(sum.data(), added.data(), x.size(), stream());
    EXPECT_EQ(sum.values(), wanted);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, NormCases, ::testing::ValuesIn(backends()));

}  // namespace
}  // namespace pikv::kernels
