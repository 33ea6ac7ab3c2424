#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/stream.hpp"

namespace pikv::kernels {

/// Rows of `n` floats that are listed by where they begin.
///
/// gather_rows: out [count][n] = the rows of from [count], one after the other. They may lie in several arrays, one may be listed twice; none is in out.
/// add_weighted: x [rows][n]; of each row x += weights[i] * y[i], for i = 0 .. k - 1 in this order, each product and each sum rounded.
///   weights [rows][k]; y [rows][k], rows apart from x
namespace reference {
void gather_rows(float const* const* from, std::int32_t count, std::int32_t n, float* out);
void add_weighted(float* x, float const* weights, float const* const* y, std::int32_t rows, std::int32_t k, std::int32_t n);
}  // namespace reference
namespace host {
void gather_rows(float const* const* from, std::int32_t count, std::int32_t n, float* out, Stream& stream);
void add_weighted(float* x, float const* weights, float const* const* y, std::int32_t rows, std::int32_t k, std::int32_t n, Stream& stream);
}  // namespace host
namespace cuda {   // device memory, lists too; queued, not finished, on return; stream is a CudaStream
void gather_rows(float const* const* from, std::int32_t count, std::int32_t n, float* out, Stream& stream);
void add_weighted(float* x, float const* weights, float const* const* y, std::int32_t rows, std::int32_t k, std::int32_t n, Stream& stream);
}  // namespace cuda

}  // namespace pikv::kernels
