#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace pikv::kernels {

enum class DType : std::uint8_t { f32 = 0, bf16 = 1, f16 = 2 };

constexpr std::size_t size_of(DType t) { return t == DType::f32 ? 4 : 2; }
constexpr char const* name_of(DType t) { return t == DType::f32 ? "f32" : t == DType::bf16 ? "bf16" : "f16"; }

/// Round to nearest, ties to even; NaN stays NaN.
constexpr std::uint16_t to_bf16(float x) {
  auto const u = std::bit_cast<std::uint32_t>(x);
  if ((u & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>((u >> 16) | 0x40u);
  return static_cast<std::uint16_t>((u + 0x7FFFu + ((u >> 16) & 1u)) >> 16);
}
/// The nearest below, the nearest above: x itself if it can be told. x is a number.
inline std::uint16_t to_bf16_below(float x) {
  auto const u = std::bit_cast<std::uint32_t>(x);
  return static_cast<std::uint16_t>((u + (u >> 31 ? 0xFFFFu : 0u)) >> 16);
}
inline std::uint16_t to_bf16_above(float x) {
  auto const u = std::bit_cast<std::uint32_t>(x);
  return static_cast<std::uint16_t>((u + (u >> 31 ? 0u : 0xFFFFu)) >> 16);
}
constexpr float from_bf16(std::uint16_t h) { return std::bit_cast<float>(static_cast<std::uint32_t>(h) << 16); }

/// IEEE half; round to nearest, ties to even; overflow to infinity; subnormals kept.
std::uint16_t to_f16(float x);
float from_f16(std::uint16_t h);

/// Scalar number `at` of an array of that type, which may lie at any address.
float load_scalar(DType type, void const* data, std::size_t at);
void store_scalar(DType type, void* data, std::size_t at, float x);

}  // namespace pikv::kernels
