#include "kernels/rotary.hpp"

#include <cmath>

namespace pikv::kernels::reference {

void rotary_table(std::int32_t const* positions, std::int32_t rows, std::int32_t d, float theta, float* cos, float* sin) {
  std::int32_t const half = d / 2;
  for (std::int32_t i = 0; i < half; ++i) {
    float const inverse_frequency = 1.0f / std::pow(theta, static_cast<float>(2 * i) / static_cast<float>(d));
    for (std::int32_t row = 0; row < rows; ++row) {
      float const angle = static_cast<float>(positions[row]) * inverse_frequency;
      cos[static_cast<std::size_t>(row) * half + i] = std::cos(angle);
      sin[static_cast<std::size_t>(row) * half + i] = std::sin(angle);
    }
  }
}

void rotary(float* x, float const* cos, float const* sin, std::int32_t rows, std::int32_t heads, std::int32_t d) {
  std::int32_t const half = d / 2;
  for (std::int32_t row = 0; row < rows; ++row, cos += half, sin += half) {
    for (std::int32_t head = 0; head < heads; ++head, x += d) {
      for (std::int32_t i = 0; i < half; ++i) {
        float const low = x[i], high = x[i + half];
        x[i] = low * cos[i] - high * sin[i];
        x[i + half] = high * cos[i] + low * sin[i];
      }
    }
  }
}

}  // namespace pikv::kernels::reference
