#pragma once

#include <array>

#include "attend_problem.hpp"

namespace pikv::kernels {

inline constexpr std::array<std::int32_t, 3> partial_shapes[] = {{0, 4, 64}, {1, 1, 1},   {3, 5, 24},
                                                                 {7, 4, 40}, {1, 3, 300}, {300, 8, 128}};   // rows, heads, d

inline Partial part_of(std::size_t rows, std::size_t heads, std::size_t d, std::uint32_t seed) {
  Partial part{rows, heads, d};
  part.sum = random_floats(rows * heads * d, seed);
  part.max = random_floats(rows * heads, seed + 1, 5);
  for (std::size_t i = 0; i < part.denom.size(); ++i) part.denom[i] = 1 + static_cast<float>(i);
  return part;
}

}  // namespace pikv::kernels
