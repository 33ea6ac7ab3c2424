#include <cmath>

#include "operations.hpp"
#include "random.hpp"

namespace pikv::kernels {
namespace {

struct AppendShape {
  DType dtype;
  std::int32_t kv_heads, page_tokens, head_dim, rows;
};
constexpr AppendShape append_shapes[] = {{DType::bf16, 2, 32, 64, 100}, {DType::f16, 2, 8, 40, 9},      {DType::f32, 3, 1, 24, 5},
                                         {DType::bf16, 1, 4, 7, 6},     {DType::bf16, 8, 16, 128, 300}, {DType::f16, 1, 64, 80, 0}};

class AppendCases : public OperationCases {
 protected:
  void rows_lie_in_their_places(AppendShape const& shape);
};

void AppendCases::rows_lie_in_their_places(AppendShape const& shape) {
  auto const [dtype, kv_heads, page_tokens, head_dim, rows] = shape;
  PageLayout const layout{dtype, kv_heads, page_tokens, head_dim};
  std::size_t const slot_bytes = (layout.bytes() + 4095) / 4096 * 4096;
  std::int32_t const slots = rows / page_tokens + 2;
  std::vector<std::byte> const before(slot_bytes * slots, std::byte{0x5A});
  std::vector<std::byte> wanted = before;
  std::vector<std::int32_t> slot(rows), at(rows);
  for (std::int32_t row = 0; row < rows; ++row) {
    slot[row] = slots - 1 - row / page_tokens;
    at[row] = row % page_tokens;
  }
  auto k = random_floats(static_cast<std::size_t>(rows) * kv_heads * head_dim, 1, 100);
  auto const v = random_floats(k.size(), 2, 1e-6f);
  if (!k.empty()) k[k.size() / 2] = std::nanf("");
  reference::append({wanted.data(), slot_bytes, layout}, slot.data(), at.data(), k.data(), v.data(), rows);

  auto const held_slot = hold(slot), held_at = hold(at);
  auto const held_k = hold(k), held_v = hold(v);
  std::vector<std::byte> got;
  on().on_each_path([&] {
    auto const memory = hold(before);
    on().append({memory.data(), slot_bytes, layout}, held_slot.data(), held_at.data(), held_k.data(), held_v.data(), rows, stream());
    got = memory.values();
    EXPECT_EQ(got, wanted);
  });

  PoolView const pool{got.data(), slot_bytes, layout};
  for (std::int32_t row = 0; row < rows; ++row) {
    for (std::int32_t i = 0; i < kv_heads * head_dim; ++i) {
      std::size_t const place = i / head_dim * layout.head_scalars() + at[row] * head_dim + i % head_dim;
      float const exact = v[static_cast<std::size_t>(row) * kv_heads * head_dim + i];
      ASSERT_NEAR(load_scalar(dtype, pool.values(slot[row]), place), exact, std::abs(exact) / 256 + 3e-8f);
    }
  }
}

TEST_P(AppendCases, RowsLieRoundedInTheirPlacesAndNothingElseChanges) {
  for (AppendShape const& shape : append_shapes) rows_lie_in_their_places(shape);
}

// Numbers on both sides of every rounding boundary of the types, infinities and NaN of both signs: the bits are the host's.
TEST_P(AppendCases, RoundsLikeTheReference) {
  std::vector<float> k;
  for (std::uint32_t top = 0; top < 0x10000; top += 37)
    for (std::uint32_t low : {0x0000u, 0x0001u, 0x1000u, 0x1001u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu})
      k.push_back(std::bit_cast<float>(top << 16 | low));
  for (std::uint32_t bits : {0x477FEFFFu, 0x477FF000u, 0x33000000u, 0x33000001u, 0x387FFFFFu, 0xFF800000u, 0x7F800001u})
    k.push_back(std::bit_cast<float>(bits));
  auto const d = static_cast<std::int32_t>(k.size());
  auto const held = hold(k);
  auto const zero = hold(std::vector<std::int32_t>{0});
  std::int32_t const at = 0;
  for (DType const dtype : {DType::bf16, DType::f16, DType::f32}) {
    PageLayout const layout{dtype, 1, 1, d};
    std::vector<std::byte> wanted(layout.bytes());
    reference::append({wanted.data(), layout.bytes(), layout}, &at, &at, k.data(), k.data(), 1);
    Held<std::byte> const memory{on(), layout.bytes()};
    on().append({memory.data(), layout.bytes(), layout}, zero.data(), zero.data(), held.data(), held.data(), 1, stream());
    EXPECT_EQ(memory.values(), wanted) << name_of(dtype);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, AppendCases, ::testing::ValuesIn(backends()));

}  // namespace
}  // namespace pikv::kernels
