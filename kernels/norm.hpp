#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/stream.hpp"

namespace pikv::kernels {

/// RMSNorm (Zhang & Sennrich 2019; as in Mixtral): y = x / sqrt(mean(x^2) + eps) * weight. x, y [rows][n] may be the same; weight [n].
namespace reference {
void rms_norm(float const* x, float const* weight, float eps, float* y, std::int32_t rows, std::int32_t n);
}
namespace host {
void rms_norm(float const* x, float const* weight, float eps, float* y, std::int32_t rows, std::int32_t n, Stream& stream);
/// y += x, element by element.
void add(float* y, float const* x, std::size_t count, Stream& stream);
}  // namespace host
namespace cuda {   // device memory; queued, not finished, on return; stream is a CudaStream
void rms_norm(float const* x, float const* weight, float eps, float* y, std::int32_t rows, std::int32_t n, Stream& stream);
void add(float* y, float const* x, std::size_t count, Stream& stream);
}  // namespace cuda

}  // namespace pikv::kernels
