// Included once per Highway target, hence the guard of its own.
#if defined(PIKV_KERNELS_HOST_SIMD_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef PIKV_KERNELS_HOST_SIMD_INL
#undef PIKV_KERNELS_HOST_SIMD_INL
#else
#define PIKV_KERNELS_HOST_SIMD_INL
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "kernels/dtype.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// One vector of fp32; never wider than AVX-512, which the sizes of scratch count on.
using Floats = hn::CappedTag<float, 16>;
using FloatVec = hn::Vec<Floats>;
inline constexpr std::size_t lanes = hn::MaxLanes(Floats());

/// The next `lanes` numbers of an array of the type, as fp32. Natural alignment will do.
template <DType type>
HWY_INLINE FloatVec load_as_float(void const* data, std::size_t at) {
  Floats const d;
  if constexpr (type == DType::f32) {
    return hn::LoadU(d, static_cast<float const*>(data) + at);
  } else {
    hn::Rebind<std::uint16_t, Floats> const bits;
    auto const half = hn::LoadU(bits, static_cast<std::uint16_t const*>(data) + at);
    if constexpr (type == DType::bf16)
      return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(hn::RebindToUnsigned<Floats>(), half)));
    else
      return hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, Floats>(), half));
  }
}

/// into[0 .. count) = the numbers of `data` from `at` on, as fp32.
template <DType type>
HWY_INLINE void to_floats(void const* data, std::size_t at, std::size_t count, float* into) {
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(load_as_float<type>(data, at + i), Floats(), into + i);
  for (; i < count; ++i) into[i] = load_scalar(type, data, at + i);
}

#if HWY_TARGET != HWY_SCALAR

template <class D>
HWY_INLINE hn::Vec<hn::FixedTag<float, 4>> sum_of_blocks(D d, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(D()) == 4) {
    return v;
  } else {
    hn::Half<D> const half;
    return sum_of_blocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

#endif

/// exp of numbers that are not positive, -inf among them, to some 2e-7 of it; 0 below -86. Cephes' polynomial for exp2.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp_of_negative(D d, V x) {
  hn::RebindToSigned<D> const integers;
  V const log2e = hn::Set(d, 1.44269504f),
          magic = hn::Set(d, 12582912.0f);   // 1.5 * 2^23: what is added to it is rounded to a whole number, in the lowest bits
  V const least = hn::Set(d, -86.0f), bounded = hn::Max(x, least);
  V const rounded = hn::MulAdd(bounded, log2e, magic), rest = hn::MulSub(bounded, log2e, hn::Sub(rounded, magic));
  V power = hn::Set(d, 1.535336188319500e-4f);
  power = hn::MulAdd(power, rest, hn::Set(d, 1.339887440266574e-3f));
  power = hn::MulAdd(power, rest, hn::Set(d, 9.618437357674640e-3f));
  power = hn::MulAdd(power, rest, hn::Set(d, 5.550332471162809e-2f));
  power = hn::MulAdd(power, rest, hn::Set(d, 2.402264791363012e-1f));
  power = hn::MulAdd(power, rest, hn::Set(d, 6.931472028550421e-1f));
  power = hn::MulAdd(power, rest, hn::Set(d, 1.0f));
  auto const exponent = hn::ShiftLeft<23>(hn::BitCast(integers, rounded));
  return hn::IfThenElseZero(hn::Ge(x, least), hn::BitCast(d, hn::Add(hn::BitCast(integers, power), exponent)));
}

/// to[0 .. 3] = the sums over the lanes of a, b, c and d.
HWY_INLINE void store_sums(FloatVec a, FloatVec b, FloatVec c, FloatVec d, float* to) {
#if HWY_TARGET == HWY_SCALAR   // has no shuffles, and one lane
  to[0] = hn::GetLane(a), to[1] = hn::GetLane(b), to[2] = hn::GetLane(c), to[3] = hn::GetLane(d);
#else
  Floats const f;
  hn::RepartitionToWide<Floats> const pair;
  auto const ab = hn::BitCast(pair, hn::Add(hn::InterleaveLower(f, a, b), hn::InterleaveUpper(f, a, b)));
  auto const cd = hn::BitCast(pair, hn::Add(hn::InterleaveLower(f, c, d), hn::InterleaveUpper(f, c, d)));
  auto const by_block = hn::Add(hn::BitCast(f, hn::InterleaveLower(pair, ab, cd)), hn::BitCast(f, hn::InterleaveUpper(pair, ab, cd)));
  hn::StoreU(sum_of_blocks(f, by_block), hn::FixedTag<float, 4>(), to);
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#endif
