#include "kernels/rows.hpp"

#include <algorithm>

#include "kernels/host/parallel.hpp"

namespace pikv::kernels::host {

void gather_rows(float const* const* from, std::int32_t count, std::int32_t n, float* out, Stream&) {
  parallel_for(static_cast<std::size_t>(count), static_cast<double>(count) * n,
               [&](std::size_t i, int) { std::copy_n(from[i], n, out + i * static_cast<std::size_t>(n)); });
}

void add_weighted(float* x, float const* weights, float const* const* y, std::int32_t rows, std::int32_t k, std::int32_t n, Stream&) {
  auto const each = static_cast<std::size_t>(k), width = static_cast<std::size_t>(n);
  parallel_for(static_cast<std::size_t>(rows), static_cast<double>(rows) * k * n, [&](std::size_t row, int) {
    float* const sum = x + row * width;
    for (std::size_t i = row * each; i < (row + 1) * each; ++i) {
      float const weight = weights[i];
      float const* const from = y[i];
      for (std::size_t c = 0; c < width; ++c) sum[c] += weight * from[c];
    }
  });
}

}  // namespace pikv::kernels::host
