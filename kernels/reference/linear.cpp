#include "kernels/linear.hpp"

namespace pikv::kernels::reference {

void linear(float const* x, MatrixView const& w, float* y, std::int32_t rows) {
  auto const in = static_cast<std::size_t>(w.in), out = static_cast<std::size_t>(w.out);
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
    for (std::size_t o = 0; o < out; ++o) {
      double sum = 0;
      for (std::size_t i = 0; i < in; ++i) sum += static_cast<double>(x[row * in + i]) * load_scalar(w.dtype, w.data, o * in + i);
      y[row * out + o] = static_cast<float>(sum);
    }
  }
}

}  // namespace pikv::kernels::reference
