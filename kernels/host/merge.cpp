#include "kernels/merge.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/host/parallel.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/host/merge.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/host/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

/// into = a * into + b * part
void blend(float* into, float a, float const* part, float b, std::size_t count) {
  Floats const d;
  FloatVec const va = hn::Set(d, a), vb = hn::Set(d, b);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::MulAdd(va, hn::LoadU(d, into + i), hn::Mul(vb, hn::LoadU(d, part + i))), d, into + i);
  for (; i < count; ++i) into[i] = a * into[i] + b * part[i];
}

/// out = a * x
void scale(float const* x, float a, float* out, std::size_t count) {
  Floats const d;
  FloatVec const va = hn::Set(d, a);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::Mul(va, hn::LoadU(d, x + i)), d, out + i);
  for (; i < count; ++i) out[i] = a * x[i];
}

/// Largest magnitude; NaN if any number is.
float magnitude(float const* x, std::size_t count) {
  Floats const d;
  FloatVec top = hn::Zero(d), poison = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    FloatVec const v = hn::Abs(hn::LoadU(d, x + i));
    top = hn::Max(top, v);
    poison = hn::Or(poison, hn::VecFromMask(d, hn::IsNaN(v)));
  }
  float result = hn::GetLane(hn::MaxOfLanes(d, top));
  bool nan = !hn::AllTrue(d, hn::Eq(poison, poison));
  for (; i < count; ++i) {
    nan = nan || std::isnan(x[i]);
    result = std::max(result, std::abs(x[i]));
  }
  return nan ? std::numeric_limits<float>::quiet_NaN() : result;
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pikv::kernels {
namespace host {

HWY_EXPORT(blend);
HWY_EXPORT(scale);
HWY_EXPORT(magnitude);

void merge(PartialView into, PartialView part, std::int32_t rows, std::int32_t heads, std::int32_t d, Stream&) {
  auto const per_row = static_cast<std::size_t>(heads), width = static_cast<std::size_t>(d);
  parallel_for(static_cast<std::size_t>(rows), 2.0 * rows * static_cast<double>(per_row * width), [&](std::size_t row, int) {
    for (std::size_t at = row * per_row; at < (row + 1) * per_row; ++at) {
      float const top = std::max(into.max[at], part.max[at]);
      if (top == empty_max) continue;
      float const of_into = std::exp(into.max[at] - top), of_part = std::exp(part.max[at] - top);
      into.max[at] = top;
      into.denom[at] = of_into * into.denom[at] + of_part * part.denom[at];
      HWY_DYNAMIC_DISPATCH(blend)(into.sum + at * width, of_into, part.sum + at * width, of_part, width);
    }
  });
}

void finish(PartialView part, float* out, std::int32_t rows, std::int32_t heads, std::int32_t d, Stream&) {
  auto const per_row = static_cast<std::size_t>(heads), width = static_cast<std::size_t>(d);
  parallel_for(static_cast<std::size_t>(rows), rows * static_cast<double>(per_row * width), [&](std::size_t row, int) {
    for (std::size_t at = row * per_row; at < (row + 1) * per_row; ++at) {
      float const share = part.denom[at] > 0 ? 1.0f / part.denom[at] : 0.0f;
      HWY_DYNAMIC_DISPATCH(scale)(part.sum + at * width, share, out + at * width, width);
    }
  });
}

float largest_magnitude(float const* x, std::size_t count) { return HWY_DYNAMIC_DISPATCH(magnitude)(x, count); }

}  // namespace host

bool check_wire(PartialView part, std::int32_t rows, std::int32_t heads, std::int32_t d) {
  for (std::size_t at = 0; at < static_cast<std::size_t>(rows) * heads; ++at) {
    float const top = part.max[at], denom = part.denom[at], sum = host::largest_magnitude(part.sum + at * d, static_cast<std::size_t>(d));
    if (std::isnan(top) || std::isnan(sum) || !(denom >= 0)) return false;
    bool const empty = top == empty_max || denom == 0;
    if (empty && !(top == empty_max && denom == 0 && sum == 0)) return false;
  }
  return true;
}

}  // namespace pikv::kernels
#endif
