#include "operations.hpp"
#include "random.hpp"

namespace pikv::kernels {
namespace {

class LinearCases : public OperationCases {
 protected:
  using Linear = decltype(&host::linear);

  /// y of random weights and rows, and what the reference finds.
  struct Result {
    std::vector<float> y, wanted;
  };
  Result multiply(Linear linear, DType dtype, std::int32_t out, std::int32_t in, std::int32_t rows, std::size_t first_weight = 0) {
    auto weights = random_stored(dtype, static_cast<std::size_t>(out) * in, 1);
    auto const x = random_floats(static_cast<std::size_t>(rows) * in, 2);
    Result result{std::vector<float>(static_cast<std::size_t>(rows) * out, 7), std::vector<float>(static_cast<std::size_t>(rows) * out, 7)};
    reference::linear(x.data(), {weights.data(), dtype, out, in}, result.wanted.data(), rows);
    std::size_t const before = first_weight * size_of(dtype);   // weights need not start at a multiple of 64 bytes
    weights.insert(weights.begin(), before, std::byte{});
    auto const held_weights = hold(weights);
    auto const held_x = hold(x);
    on().on_each_path([&] {
      auto const y = hold(std::vector<float>(result.y.size(), 7));
      linear(held_x.data(), {held_weights.data() + before, dtype, out, in}, y.data(), rows, stream());
      result.y = y.values();
      expect_near(result.y, result.wanted, 1e-6f * static_cast<float>(in + 10));
    });
    return result;
  }
};

TEST_P(LinearCases, EqualsReferenceForAnySizeTypeAndNumberOfRows) {
  for (DType const dtype : {DType::f32, DType::bf16, DType::f16})
    for (auto const& [out, in] : {std::pair{1, 1}, {8, 256}, {37, 24}, {130, 43}, {257, 640}})
      for (std::int32_t const rows : {0, 1, 2, 3, 7, 8, 9, 16, 17, 33, 100}) multiply(on().linear, dtype, out, in, rows);
}

TEST_P(LinearCases, WeightsMayStartAnywhere) {
  for (DType const dtype : {DType::f32, DType::bf16, DType::f16})
    for (std::int32_t const in : {64, 67})
      for (std::int32_t const rows : {2, 20}) multiply(on().linear, dtype, 37, in, rows, 3);
}

TEST_P(LinearCases, WithoutALibraryAnyNumberOfRowsIsRight) {
  if (!on().linear_tiled) GTEST_SKIP() << "the host has one version";
  for (DType const dtype : {DType::f32, DType::bf16, DType::f16})
    for (std::int32_t const rows : {0, 1, 5, 40}) multiply(on().linear_tiled, dtype, 70, 43, rows);
}

TEST_P(LinearCases, SplitsWeightsTooLargeForOneBlock) {
  auto const [y, wanted] = multiply(on().linear, DType::bf16, 700, 3000, 20);
  expect_near(y, wanted, 2e-3f);
}

TEST_P(LinearCases, ARowIsTheSameAmongOthers) {
  std::int32_t const out = 300, in = 1024;
  auto const weights = hold(random_stored(DType::bf16, static_cast<std::size_t>(out) * in, 1));
  auto const x = hold(random_floats(static_cast<std::size_t>(7) * in, 2));
  MatrixView const w{weights.data(), DType::bf16, out, in};
  Held<float> const together{on(), static_cast<std::size_t>(7) * out}, alone{on(), together.size()};
  on().linear(x.data(), w, together.data(), 7, stream());
  for (std::int32_t row = 0; row < 7; ++row) on().linear(x.data() + row * in, w, alone.data() + row * out, 1, stream());
  EXPECT_EQ(together.values(), alone.values());
}

INSTANTIATE_TEST_SUITE_P(Backends, LinearCases, ::testing::ValuesIn(backends()));

}  // namespace
}  // namespace pikv::kernels
