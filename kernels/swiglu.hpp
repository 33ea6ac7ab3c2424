#pragma once

#include <cstddef>

#include "kernels/stream.hpp"

namespace pikv::kernels {

/// gate[i] = silu(gate[i]) * up[i], silu(x) = x / (1 + exp(-x)).
namespace reference {
void swiglu(float* gate, float const* up, std::size_t count);
}
namespace host {
void swiglu(float* gate, float const* up, std::size_t count, Stream& stream);
/// "AVX3_SPR", "AVX2", ...: the Highway target in use, for --version.
char const* simd_target();
}  // namespace host
namespace cuda {   // device memory; queued, not finished, on return; stream is a CudaStream
void swiglu(float* gate, float const* up, std::size_t count, Stream& stream);
}  // namespace cuda

}  // namespace pikv::kernels
