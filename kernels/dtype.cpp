#include "kernels/dtype.hpp"

#include <cstring>

namespace pikv::kernels {

std::uint16_t to_f16(float x) {
  auto const u = std::bit_cast<std::uint32_t>(x);
  auto const sign = static_cast<std::uint16_t>((u >> 16) & 0x8000u);
  std::uint32_t const magnitude = u & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<std::uint16_t>(sign | 0x7E00u);
  if (magnitude >= 0x477FF000u) return static_cast<std::uint16_t>(sign | 0x7C00u);   // rounds past 65504
  if (magnitude < 0x38800000u) {                                                     // subnormal half: adding 0.5 puts the bits in place
    float const shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3F000000u));
  }
  std::uint32_t const rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

float from_f16(std::uint16_t h) {
  std::uint32_t const sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
  std::uint32_t const rest = h & 0x7FFFu;
  if (rest >= 0x7C00u) return std::bit_cast<float>(sign | 0x7F800000u | ((rest & 0x3FFu) << 13));
  if (rest >= 0x400u) return std::bit_cast<float>(sign | ((rest << 13) + 0x38000000u));
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(std::bit_cast<float>(rest + 0x3F000000u) - 0.5f));
}

float load_scalar(DType type, void const* data, std::size_t at) {
  auto const* place = static_cast<std::byte const*>(data) + at * size_of(type);
  if (type == DType::f32) {
    float x;
    std::memcpy(&x, place, sizeof x);
    return x;
  }
  std::uint16_t bits;
  std::memcpy(&bits, place, sizeof bits);
  return type == DType::bf16 ? from_bf16(bits) : from_f16(bits);
}

void store_scalar(DType type, void* data, std::size_t at, float x) {
  auto* place = static_cast<std::byte*>(data) + at * size_of(type);
  if (type == DType::f32) {
    std::memcpy(place, &x, sizeof x);
    return;
  }
  std::uint16_t const bits = type == DType::bf16 ? to_bf16(x) : to_f16(x);
  std::memcpy(place, &bits, sizeof bits);
}

}  // namespace pikv::kernels
