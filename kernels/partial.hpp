#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace pikv::kernels {

inline constexpr float empty_max = -std::numeric_limits<float>::infinity();

/// Attention over a part of the keys, unnormalised, fp32, natural logarithm (methods: identity I1):
///   max   [rows][heads]      largest scaled logit of the part; empty_max for no keys
///   denom [rows][heads]      sum of exp(logit - max); 0 for no keys
///   sum   [rows][heads][d]   sum of exp(logit - max) * v; 0 for no keys
/// Log-sum-exp of the part = max + log(denom).
struct PartialView {
  float* sum = nullptr;
  float* max = nullptr;
  float* denom = nullptr;

  PartialView from_row(std::size_t row, std::size_t heads, std::size_t d) const {
    return {sum + row * heads * d, max + row * heads, denom + row * heads};
  }
};

}  // namespace pikv::kernels
