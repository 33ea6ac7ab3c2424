#include "kernels/swiglu.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/host/parallel.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/host/swiglu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// after highway.h
#include <hwy/contrib/math/math-inl.h>

#include "kernels/host/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

void swiglu_part(float* gate, float const* up, std::size_t begin, std::size_t end) {
  Floats const d;
  FloatVec const one = hn::Set(d, 1.0f), most = hn::Set(d, 88.0f);   // Highway's Exp wraps where exp overflows
  std::size_t i = begin;
  for (; i + lanes <= end; i += lanes) {
    FloatVec const x = hn::LoadU(d, gate + i);
    FloatVec const silu = hn::Div(x, hn::Add(one, hn::Exp(d, hn::Min(most, hn::Neg(x)))));
    hn::StoreU(hn::Mul(silu, hn::LoadU(d, up + i)), d, gate + i);
  }
  for (; i < end; ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
}

char const* target() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pikv::kernels::host {

HWY_EXPORT(swiglu_part);
HWY_EXPORT(target);

void swiglu(float* gate, float const* up, std::size_t count, Stream&) {
  constexpr std::size_t part = 4096;
  parallel_for((count + part - 1) / part, 4.0 * static_cast<double>(count), [&](std::size_t item, int) {
    HWY_DYNAMIC_DISPATCH(swiglu_part)(gate, up, item * part, std::min(count, (item + 1) * part));
  });
}

char const* simd_target() { return HWY_DYNAMIC_DISPATCH(target)(); }

}  // namespace pikv::kernels::host
#endif
