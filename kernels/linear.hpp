#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/dtype.hpp"
#include "kernels/stream.hpp"

namespace pikv::kernels {

/// A weight matrix as checkpoints store it: [out][in] row-major, bf16, f16 or f32, 64-byte alignment not required (natural alignment is).
struct MatrixView {
  void const* data = nullptr;
  DType dtype = DType::f32;
  std::int32_t out = 0;
  std::int32_t in = 0;
};

/// y [rows][out] = x [rows][in] . w^T; fp32 in and out, fp32 accumulation, weights converted on the fly. rows = 0 does nothing.
/// Few rows: Highway, reads the weights once (memory-bound). Many: a library's sgemm on blocks of weights converted once.
namespace reference {
void linear(float const* x, MatrixView const& w, float* y, std::int32_t rows);
}
namespace host {
void linear(float const* x, MatrixView const& w, float* y, std::int32_t rows, Stream& stream);
}
namespace cuda {   // device memory; queued, not finished, on return; stream is a CudaStream
/// Up to few_rows rows read the weights once; more go through cuBLAS, in fp32, on blocks of weights widened once.
void linear(float const* x, MatrixView const& w, float* y, std::int32_t rows, Stream& stream);
/// Without a library, for any number of rows: what stands for cuBLAS where the kernels are emulated.
void linear_tiled(float const* x, MatrixView const& w, float* y, std::int32_t rows, Stream& stream);
inline constexpr std::int32_t few_rows = 8;
}  // namespace cuda

}  // namespace pikv::kernels
