#pragma once

#include "kernels/linear.hpp"

namespace pikv::kernels::cuda {

/// What linear() does where there are more than few_rows rows: by cuBLAS (gpu/many_rows.cu); emulated, by linear_tiled (emulation/many_rows.cpp).
void many_rows(float const* x, MatrixView const& w, float* y, std::int32_t rows, Stream& stream);

}  // namespace pikv::kernels::cuda
