#include "kernels/dtype.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace pikv::kernels {
namespace {

// The oracle is the compiler's own half. _Float16 is outside of ISO C++, hence __extension__.
__extension__ using Half = _Float16;

std::uint16_t half_bits(float x) { return std::bit_cast<std::uint16_t>(static_cast<Half>(x)); }

TEST(F16, EveryHalfReadsAsTheCompilersHalf) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    auto const half = static_cast<std::uint16_t>(bits);
    auto const wanted = static_cast<float>(std::bit_cast<Half>(half));
    if (std::isnan(wanted))
      ASSERT_TRUE(std::isnan(from_f16(half))) << bits;
    else
      ASSERT_EQ(std::bit_cast<std::uint32_t>(from_f16(half)), std::bit_cast<std::uint32_t>(wanted)) << bits;
  }
}

TEST(F16, EveryFloatAroundEveryHalfRoundsAsTheCompilersHalf) {   // the half, both neighbours, and the ties between two halves with theirs
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7FFFu) >= 0x7C00u) continue;
    std::uint32_t const exact = std::bit_cast<std::uint32_t>(from_f16(static_cast<std::uint16_t>(bits)));
    float const next = from_f16(static_cast<std::uint16_t>(bits + 1));
    std::uint32_t const middle =
        std::bit_cast<std::uint32_t>((std::bit_cast<float>(exact) + (std::isinf(next) ? std::copysign(65536.0f, next) : next)) / 2);
    for (std::uint32_t around : {exact - 1, exact, exact + 1, middle - 1, middle, middle + 1}) {
      auto const x = std::bit_cast<float>(around);
      if (std::isnan(x)) continue;
      ASSERT_EQ(to_f16(x), half_bits(x)) << x;
    }
  }
}

TEST(F16, OverflowIsInfinityAndNanStaysNan) {
  EXPECT_EQ(to_f16(65519.9f), half_bits(65504.0f));
  EXPECT_EQ(to_f16(65520.0f), 0x7C00);
  EXPECT_EQ(to_f16(-1e30f), 0xFC00);
  EXPECT_TRUE(std::isnan(from_f16(to_f16(std::nanf("")))));
}

TEST(Bf16, RoundsToTheNearestAndTiesToEven) {
  EXPECT_EQ(to_bf16(1.0f), 0x3F80);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3F808000u)), 0x3F80);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3F808001u)), 0x3F81);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3F818000u)), 0x3F82);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x7F7FFFFFu)), 0x7F80) << "the largest float rounds to infinity";
  EXPECT_TRUE(std::isnan(from_bf16(to_bf16(std::bit_cast<float>(0x7F800001u)))));
}

TEST(Scalars, LieAtAnyAddress) {
  std::vector<std::byte> bytes(64);
  for (DType type : {DType::f32, DType::bf16, DType::f16}) {
    store_scalar(type, bytes.data() + 1, 5, -2.5f);
    EXPECT_EQ(load_scalar(type, bytes.data() + 1, 5), -2.5f) << name_of(type);
  }
}

}  // namespace
}  // namespace pikv::kernels
