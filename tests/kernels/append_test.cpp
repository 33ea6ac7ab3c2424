#include "kernels/append.hpp"

#include <gtest/gtest.h>

#include "random.hpp"
#include "targets.hpp"

namespace pikv::kernels {
namespace {

struct Shape {
  DType dtype;
  std::int32_t kv_heads, page_tokens, head_dim, rows;
};

class AppendTest : public ::testing::TestWithParam<Shape> {};

TEST_P(AppendTest, RowsLieRoundedInTheirPlacesAndNothingElseChanges) {
  auto const [dtype, kv_heads, page_tokens, head_dim, rows] = GetParam();
  PageLayout const layout{dtype, kv_heads, page_tokens, head_dim};
  std::size_t const slot_bytes = (layout.bytes() + 4095) / 4096 * 4096;
  std::int32_t const slots = rows / page_tokens + 2;
  std::vector<std::byte> by_host(slot_bytes * slots, std::byte{0x5A}), wanted = by_host;
  std::vector<std::int32_t> slot(rows), at(rows);
  for (std::int32_t row = 0; row < rows; ++row) {
    slot[row] = slots - 1 - row / page_tokens;
    at[row] = row % page_tokens;
  }
  auto k = random_floats(static_cast<std::size_t>(rows) * kv_heads * head_dim, 1, 100);
  auto const v = random_floats(k.size(), 2, 1e-6f);
  if (!k.empty()) k[k.size() / 2] = std::nanf("");
  Stream stream;
  reference::append({wanted.data(), slot_bytes, layout}, slot.data(), at.data(), k.data(), v.data(), rows);
  on_each_target([&] {
    by_host.assign(by_host.size(), std::byte{0x5A});
    host::append({by_host.data(), slot_bytes, layout}, slot.data(), at.data(), k.data(), v.data(), rows, stream);
    EXPECT_EQ(by_host, wanted);
  });

  PoolView const pool{by_host.data(), slot_bytes, layout};
  for (std::int32_t row = 0; row < rows; ++row) {
    for (std::int32_t i = 0; i < kv_heads * head_dim; ++i) {
      std::size_t const place = i / head_dim * layout.head_scalars() + at[row] * head_dim + i % head_dim;
      float const exact = v[static_cast<std::size_t>(row) * kv_heads * head_dim + i];
      ASSERT_NEAR(load_scalar(dtype, pool.values(slot[row]), place), exact, std::abs(exact) / 256 + 3e-8f);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, AppendTest,
                         ::testing::Values(Shape{DType::bf16, 2, 32, 64, 100}, Shape{DType::f16, 2, 8, 40, 9}, Shape{DType::f32, 3, 1, 24, 5},
                                           Shape{DType::bf16, 1, 4, 7, 6}, Shape{DType::bf16, 8, 16, 128, 300}, Shape{DType::f16, 1, 64, 80, 0}));

}  // namespace
}  // namespace pikv::kernels
