#include <cublas_v2.h>

#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear.cuh"
#include "kernels/cuda/memory.hpp"
#include "kernels/cuda/scalars.cuh"
#include "kernels/cuda/stream.hpp"

namespace pikv::kernels::cuda {
namespace {

constexpr int threads = 256;
constexpr std::size_t most_widened = std::size_t{64} << 20;   // bytes of weights as fp32 at once: about what an L2 holds

/// One thread per weight. Bytes: one stored weight read, 4 written. Limit: memory bandwidth.
template <class Scalar>
__global__ void __launch_bounds__(threads) widen(typename Scalar::Stored const* from, float* to, std::size_t count) {
  std::size_t const i = std::size_t{blockIdx.x} * threads + threadIdx.x;
  if (i < count) to[i] = Scalar::value(from[i]);
}

void check_library(cublasStatus_t status) {
  if (status != CUBLAS_STATUS_SUCCESS) throw std::runtime_error(std::string{"cuda::linear failed in cuBLAS: "} + cublasGetStatusString(status));
}

/// A thread's handle, for the one device that a rank uses.
struct Library {
  cublasHandle_t handle = nullptr;
  Library() { check_library(cublasCreate(&handle)); }
  Library(Library const&) = delete;
  ~Library() { cublasDestroy(handle); }
};

}  // namespace

/// Bytes: the weights once, and twice as fp32 if they are not stored so. Multiply-adds: rows * out * in, in fp32 (cuBLAS's default: no TF32).
/// Limit: fp32 arithmetic.
void many_rows(float const* x, MatrixView const& w, float* y, std::int32_t rows, Stream& stream) {
  thread_local Library const library;
  CUstream_st* const queue = handle_of(stream);
  check_library(cublasSetStream(library.handle, queue));
  float const one = 1, zero = 0;
  auto const multiply = [&](float const* weights, int first_out, int outs) {   // column by column: y^T = w . x^T
    check_library(cublasSgemm(library.handle, CUBLAS_OP_T, CUBLAS_OP_N, outs, rows, w.in, &one, weights, w.in, x, w.in, &zero, y + first_out, w.out));
  };
  if (w.dtype == DType::f32) return multiply(static_cast<float const*>(w.data), 0, w.out);
  auto const in = static_cast<std::size_t>(w.in);
  int const at_once = static_cast<int>(std::clamp<std::size_t>(most_widened / sizeof(float) / in, 1, static_cast<std::size_t>(w.out)));
  DeviceArray<float> const widened{at_once * in, stream};
  with_scalar(w.dtype, [&](auto scalar) {
    using Scalar = decltype(scalar);
    for (int first = 0; first < w.out; first += at_once) {
      int const outs = std::min(at_once, w.out - first);
      std::size_t const count = outs * in;
      launch(widen<Scalar>, static_cast<unsigned>((count + threads - 1) / threads), threads, 0, queue, "cuda::linear",
             static_cast<typename Scalar::Stored const*>(w.data) + first * in, widened.data(), count);
      multiply(widened.data(), first, outs);
    }
  });
}

}  // namespace pikv::kernels::cuda
