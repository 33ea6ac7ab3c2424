#include "kernels/norm.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/host/parallel.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/host/norm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/host/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

void rms_norm_row(float const* x, float const* weight, float eps, float* y, std::size_t n) {
  Floats const d;
  FloatVec sum = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    FloatVec const v = hn::LoadU(d, x + i);
    sum = hn::MulAdd(v, v, sum);
  }
  float squares = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < n; ++i) squares += x[i] * x[i];
  float const factor = 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
  FloatVec const scale = hn::Set(d, factor);
  for (i = 0; i + lanes <= n; i += lanes) hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, x + i), scale), hn::LoadU(d, weight + i)), d, y + i);
  for (; i < n; ++i) y[i] = x[i] * factor * weight[i];
}

void add_part(float* y, float const* x, std::size_t begin, std::size_t end) {
  Floats const d;
  std::size_t i = begin;
  for (; i + lanes <= end; i += lanes) hn::StoreU(hn::Add(hn::LoadU(d, y + i), hn::LoadU(d, x + i)), d, y + i);
  for (; i < end; ++i) y[i] += x[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pikv::kernels::host {

HWY_EXPORT(rms_norm_row);
HWY_EXPORT(add_part);

void rms_norm(float const* x, float const* weight, float eps, float* y, std::int32_t rows, std::int32_t n, Stream&) {
  auto const width = static_cast<std::size_t>(n);
  parallel_for(static_cast<std::size_t>(rows), static_cast<double>(rows) * n, [&](std::size_t row, int) {
    HWY_DYNAMIC_DISPATCH(rms_norm_row)(x + row * width, weight, eps, y + row * width, width);
  });
}

void add(float* y, float const* x, std::size_t count, Stream&) {
  constexpr std::size_t part = 16384;
  parallel_for((count + part - 1) / part, static_cast<double>(count), [&](std::size_t item, int) {
    HWY_DYNAMIC_DISPATCH(add_part)(y, x, item * part, std::min(count, (item + 1) * part));
  });
}

}  // namespace pikv::kernels::host
#endif
