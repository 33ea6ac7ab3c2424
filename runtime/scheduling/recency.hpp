#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace pikv::runtime {

/// 2^(-age/tau), tau = 128 steps (methods 4.1), more where pages are so old that a float could not tell them apart: `oldest` is the largest age
/// this is compared with, and only the order of ages matters.
inline float recency(std::int64_t age, std::int64_t oldest) {
  double const tau = std::max(128.0, static_cast<double>(oldest) / 100);
  return static_cast<float>(std::exp2(-static_cast<double>(age) / tau));
}

}   // namespace pikv::runtime
