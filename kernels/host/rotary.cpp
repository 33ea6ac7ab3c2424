#include "kernels/rotary.hpp"

#include "kernels/host/parallel.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/host/rotary.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/host/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

void rotate_row(float* x, float const* cos, float const* sin, std::size_t heads, std::size_t half) {
  Floats const d;
  for (std::size_t head = 0; head < heads; ++head, x += 2 * half) {
    std::size_t i = 0;
    for (; i + lanes <= half; i += lanes) {
      FloatVec const low = hn::LoadU(d, x + i), high = hn::LoadU(d, x + half + i);
      FloatVec const c = hn::LoadU(d, cos + i), s = hn::LoadU(d, sin + i);
      hn::StoreU(hn::NegMulAdd(high, s, hn::Mul(low, c)), d, x + i);
      hn::StoreU(hn::MulAdd(low, s, hn::Mul(high, c)), d, x + half + i);
    }
    for (; i < half; ++i) {
      float const low = x[i], high = x[half + i];
      x[i] = low * cos[i] - high * sin[i];
      x[half + i] = high * cos[i] + low * sin[i];
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pikv::kernels::host {

HWY_EXPORT(rotate_row);

void rotary_table(std::int32_t const* positions, std::int32_t rows, std::int32_t d, float theta, float* cos, float* sin, Stream&) {
  reference::rotary_table(positions, rows, d, theta, cos, sin);   // once per step for all layers, and bits matter more than speed
}

void rotary(float* x, float const* cos, float const* sin, std::int32_t rows, std::int32_t heads, std::int32_t d, Stream&) {
  auto const half = static_cast<std::size_t>(d) / 2;
  auto const row_scalars = static_cast<std::size_t>(heads) * d;
  parallel_for(static_cast<std::size_t>(rows), static_cast<double>(rows) * static_cast<double>(row_scalars), [&](std::size_t row, int) {
    HWY_DYNAMIC_DISPATCH(rotate_row)(x + row * row_scalars, cos + row * half, sin + row * half, static_cast<std::size_t>(heads), half);
  });
}

}  // namespace pikv::kernels::host
#endif
