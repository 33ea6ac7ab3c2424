#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "kernels/dtype.hpp"

namespace pikv::kernels {

inline std::vector<float> random_floats(std::size_t count, std::uint32_t seed, float spread = 1) {
  std::mt19937 bits{seed};
  std::normal_distribution<float> normal{0, spread};
  std::vector<float> x(count);
  for (float& value : x) value = normal(bits);
  return x;
}

/// Random numbers stored as the type.
inline std::vector<std::byte> random_stored(DType type, std::size_t count, std::uint32_t seed, float spread = 1) {
  std::vector<std::byte> bytes(count * size_of(type));
  std::size_t at = 0;
  for (float x : random_floats(count, seed, spread)) store_scalar(type, bytes.data(), at++, x);
  return bytes;
}

}  // namespace pikv::kernels
