#include "kernels/norm.hpp"

#include <cmath>

namespace pikv::kernels::reference {

void rms_norm(float const* x, float const* weight, float eps, float* y, std::int32_t rows, std::int32_t n) {
  for (std::int32_t row = 0; row < rows; ++row, x += n, y += n) {
    double squares = 0;
    for (std::int32_t i = 0; i < n; ++i) squares += static_cast<double>(x[i]) * x[i];
    double const factor = 1 / std::sqrt(squares / n + eps);
    for (std::int32_t i = 0; i < n; ++i) y[i] = static_cast<float>(x[i] * factor) * weight[i];
  }
}

}  // namespace pikv::kernels::reference
