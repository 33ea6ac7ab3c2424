#include "kernels/rows.hpp"

#include <algorithm>

namespace pikv::kernels::reference {

void gather_rows(float const* const* from, std::int32_t count, std::int32_t n, float* out) {
  for (std::int32_t i = 0; i < count; ++i) out = std::copy_n(from[i], n, out);
}

void add_weighted(float* x, float const* weights, float const* const* y, std::int32_t rows, std::int32_t k, std::int32_t n) {
  for (std::int32_t row = 0; row < rows; ++row, x += n)
    for (std::int32_t i = 0; i < k; ++i, ++weights, ++y)
      for (std::int32_t c = 0; c < n; ++c) {
        float const product = *weights * (*y)[c];
        x[c] += product;
      }
}

}  // namespace pikv::kernels::reference
