#include "kernels/linear.hpp"

#include <dnnl.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "kernels/host/parallel.hpp"
#include "kernels/host/scratch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/host/linear.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/host/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

constexpr std::size_t outputs_at_once = 4;

/// R rows of x against O rows of w, each pair's sum in its own vector until the end.
template <DType type, int R, int O>
HWY_NOINLINE void dot_block(float const* x, void const* w, std::size_t in, std::size_t output, float* y, std::size_t out) {
  Floats const d;
  FloatVec sum[R][O];
  HWY_UNROLL(8)
  for (int r = 0; r < R; ++r) HWY_UNROLL(8)
  for (int o = 0; o < O; ++o) sum[r][o] = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= in; i += lanes) {
    FloatVec weight[O];
    HWY_UNROLL(8)
    for (int o = 0; o < O; ++o) weight[o] = load_as_float<type>(w, (output + o) * in + i);
    HWY_UNROLL(8)
    for (int r = 0; r < R; ++r) {
      FloatVec const value = hn::LoadU(d, x + r * in + i);
      HWY_UNROLL(8)
      for (int o = 0; o < O; ++o) sum[r][o] = hn::MulAdd(value, weight[o], sum[r][o]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int o = 0; o < O; ++o) {
      float total = hn::GetLane(hn::SumOfLanes(d, sum[r][o]));
      for (std::size_t rest = i; rest < in; ++rest) total += x[r * in + rest] * load_scalar(type, w, (output + o) * in + rest);
      y[r * out + output + o] = total;
    }
  }
}

template <DType type, int O>
HWY_INLINE void dot_rows(float const* x, MatrixView const& w, float* y, std::size_t rows, std::size_t output) {
  auto const in = static_cast<std::size_t>(w.in), out = static_cast<std::size_t>(w.out);
  std::size_t r = 0;
  for (; r + 4 <= rows; r += 4) dot_block<type, 4, O>(x + r * in, w.data, in, output, y + r * out, out);
  for (; r + 2 <= rows; r += 2) dot_block<type, 2, O>(x + r * in, w.data, in, output, y + r * out, out);
  for (; r < rows; ++r) dot_block<type, 1, O>(x + r * in, w.data, in, output, y + r * out, out);
}

template <DType type>
void dot_typed(float const* x, MatrixView const& w, float* y, std::size_t rows, std::size_t begin, std::size_t end) {
  std::size_t output = begin;
  for (; output + outputs_at_once <= end; output += outputs_at_once) dot_rows<type, outputs_at_once>(x, w, y, rows, output);
  for (; output < end; ++output) dot_rows<type, 1>(x, w, y, rows, output);
}

/// y for outputs begin .. end - 1.
void dot_outputs(float const* x, MatrixView const& w, float* y, std::size_t rows, std::size_t begin, std::size_t end) {
  if (w.dtype == DType::f32) dot_typed<DType::f32>(x, w, y, rows, begin, end);
  if (w.dtype == DType::bf16) dot_typed<DType::bf16>(x, w, y, rows, begin, end);
  if (w.dtype == DType::f16) dot_typed<DType::f16>(x, w, y, rows, begin, end);
}

void convert_weights(DType type, void const* data, std::size_t at, std::size_t count, float* into) {
  if (type == DType::bf16) to_floats<DType::bf16>(data, at, count, into);
  if (type == DType::f16) to_floats<DType::f16>(data, at, count, into);
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pikv::kernels::host {

HWY_EXPORT(dot_outputs);
HWY_EXPORT(convert_weights);

namespace {

constexpr std::int32_t few_rows = 16;   // where the sgemm catches up: 16 for a matrix of 256 x 256, some 40 for one of 2048 x 2048
constexpr std::size_t block_floats = std::size_t{1} << 18;   // converted weights that stay in cache until the sgemm reads them

void multiply_few(float const* x, MatrixView const& w, float* y, std::size_t rows) {
  constexpr std::size_t part = 32;
  auto const out = static_cast<std::size_t>(w.out);
  double const work = static_cast<double>(out) * w.in * static_cast<double>(rows);
  parallel_for((out + part - 1) / part, work, [&](std::size_t item, int) {
    HWY_DYNAMIC_DISPATCH(dot_outputs)(x, w, y, rows, item * part, std::min(out, (item + 1) * part));
  });
}

/// Outputs begin .. begin + outputs - 1. Inside a parallel loop oneDNN works on the calling thread alone.
void multiply_block(float const* x, MatrixView const& w, float* y, std::int32_t rows, std::size_t begin, std::size_t outputs) {
  auto const in = static_cast<std::size_t>(w.in);
  thread_local Scratch<float> block;
  float const* weights = static_cast<float const*>(w.data) + begin * in;
  if (w.dtype != DType::f32) {
    float* into = block.at_least(outputs * in);
    HWY_DYNAMIC_DISPATCH(convert_weights)(w.dtype, w.data, begin * in, outputs * in, into);
    weights = into;
  }
  dnnl_status_t const status =
      dnnl_sgemm('N', 'T', rows, static_cast<dnnl_dim_t>(outputs), w.in, 1.0f, x, w.in, weights, w.in, 0.0f, y + begin, w.out);
  if (status != dnnl_success)
    throw std::runtime_error("oneDNN failed to multiply a matrix (status " + std::to_string(status) +
                             "), mostly a lack of memory; try a smaller --prefill-chunk");
}

/// One parallel loop over blocks of outputs, each converted by the thread that multiplies it.
void multiply_many(float const* x, MatrixView const& w, float* y, std::int32_t rows) {
  auto const in = static_cast<std::size_t>(w.in), out = static_cast<std::size_t>(w.out);
  std::size_t const part = std::clamp<std::size_t>(block_floats / in, 64, 128);
  parallel_for((out + part - 1) / part, static_cast<double>(out) * w.in * rows, [&](std::size_t item, int) {
    multiply_block(x, w, y, rows, item * part, std::min(part, out - item * part));
  });
}

}  // namespace

void linear(float const* x, MatrixView const& w, float* y, std::int32_t rows, Stream&) {
  if (rows <= few_rows)
    multiply_few(x, w, y, static_cast<std::size_t>(std::max(rows, 0)));
  else
    multiply_many(x, w, y, rows);
}

}  // namespace pikv::kernels::host
#endif
