#pragma once

#include <cstdint>

#include "shards/codecs/maps/matrix.hpp"

namespace pikv::runtime {

/// Head `head` of all [rows][heads][head_dim], as a matrix [rows][head_dim] in fp64.
inline shards::Matrix head_rows(float const* all, std::int32_t rows, std::int32_t heads, std::int32_t head, std::int32_t head_dim) {
  Eigen::OuterStride<> const stride{static_cast<Eigen::Index>(heads) * head_dim};
  float const* const first = all + static_cast<std::ptrdiff_t>(head) * head_dim;
  return Eigen::Map<shards::FloatMatrix const, 0, Eigen::OuterStride<>>{first, rows, head_dim, stride}.cast<double>();
}

}   // namespace pikv::runtime
