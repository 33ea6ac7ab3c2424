#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <stdexcept>

#include "kernels/dtype.hpp"

// The types of pages and weights: how each is stored, read and rounded (as kernels/dtype.hpp does, NaN included).
namespace pikv::kernels::cuda {

struct F32 {
  using Stored = float;
  __device__ static float value(float x) { return x; }
  __device__ static float stored(float x) { return x; }
};
struct Bf16 {
  using Stored = unsigned short;
  __device__ static float value(unsigned short x) { return __uint_as_float(static_cast<unsigned>(x) << 16); }
  __device__ static unsigned short stored(float x) { return to_bf16(x); }
};
struct F16 {
  using Stored = __half;
  __device__ static float value(__half x) { return __half2float(x); }
  __device__ static __half stored(float x) {
    if (x == x) return __float2half_rn(x);
    __half_raw nan;
    nan.x = static_cast<unsigned short>((__float_as_uint(x) >> 16 & 0x8000u) | 0x7E00u);
    return nan;
  }
};

/// body(F32{}), body(Bf16{}) or body(F16{}).
template <class Body>
void with_scalar(DType type, Body const& body) {
  switch (type) {
    case DType::f32:
      return body(F32{});
    case DType::bf16:
      return body(Bf16{});
    case DType::f16:
      return body(F16{});
  }
  throw std::runtime_error("a page or a matrix is of no type that there is");
}

}  // namespace pikv::kernels::cuda
