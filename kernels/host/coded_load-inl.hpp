// Included once per Highway target, hence the guard of its own.
#if defined(PIKV_KERNELS_HOST_CODED_LOAD_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef PIKV_KERNELS_HOST_CODED_LOAD_INL
#undef PIKV_KERNELS_HOST_CODED_LOAD_INL
#else
#define PIKV_KERNELS_HOST_CODED_LOAD_INL
#endif

#include "kernels/coded.hpp"
#include "kernels/host/coded_unit.hpp"
#include "kernels/host/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

/// Half of the widest vector, for widths and pages that are a multiple of 8 alone.
using Eight = hn::CappedTag<float, 8>;

/// A word of 4 bytes, or of 3, of each lane.
template <std::size_t bytes, class D>
HWY_INLINE hn::Vec<D> load_word(D d, std::byte const* at) {
  if constexpr (bytes == 4) {
    return hn::LoadU(d, reinterpret_cast<std::uint32_t const*>(at));
  } else {
    hn::Rebind<std::uint8_t, D> const narrow;
    hn::Vec<decltype(narrow)> low, middle, high;
    hn::LoadInterleaved3(narrow, reinterpret_cast<std::uint8_t const*>(at), low, middle, high);
    return hn::Or(hn::Or(hn::PromoteTo(d, low), hn::ShiftLeft<8>(hn::PromoteTo(d, middle))), hn::ShiftLeft<16>(hn::PromoteTo(d, high)));
  }
}

/// The next numbers of layout 2 for MaxLanes(D) lanes at `at`: x[k] has number k of each. Codes are not scaled; fp8 lacks a factor of 256.
template <Element element, class D, class V = hn::Vec<D>>
HWY_INLINE void load_codes(D d, std::byte const* at, V (&x)[numbers_together(element)]) {
  if constexpr (element == Element::f32) {
    x[0] = hn::LoadU(d, reinterpret_cast<float const*>(at));
  } else if constexpr (element == Element::f16 || element == Element::fp8) {
    hn::Rebind<std::uint16_t, D> const bits;
    hn::Vec<decltype(bits)> half;
    if constexpr (element == Element::f16) {
      half = hn::LoadU(bits, reinterpret_cast<std::uint16_t const*>(at));
    } else {
      auto const code = hn::PromoteTo(bits, hn::LoadU(hn::Rebind<std::uint8_t, D>(), reinterpret_cast<std::uint8_t const*>(at)));
      half = hn::Or(hn::ShiftLeft<8>(hn::And(code, hn::Set(bits, 0x80))), hn::ShiftLeft<7>(hn::And(code, hn::Set(bits, 0x7F))));
    }
    x[0] = hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), half));
  } else {
    hn::RebindToUnsigned<D> const bits;
    hn::RebindToSigned<D> const integers;
    auto const word = load_word<bytes_together(element)>(bits, at);
    if constexpr (element == Element::bf16) {
      x[0] = hn::BitCast(d, hn::ShiftLeft<16>(word));
      x[1] = hn::BitCast(d, hn::And(word, hn::Set(bits, 0xFFFF0000u)));
    } else {
      auto const low = hn::Set(bits, static_cast<std::uint32_t>(top_code(element)));
      auto const code = [&](auto v) HWY_ATTR { return hn::ConvertTo(d, hn::BitCast(integers, hn::And(v, low))); };
      if constexpr (element == Element::int8) {
        x[0] = code(word);
        x[1] = code(hn::ShiftRight<8>(word));
        x[2] = code(hn::ShiftRight<16>(word));
        x[3] = code(hn::ShiftRight<24>(word));
      } else if constexpr (element == Element::int3) {
        x[0] = code(word);
        x[1] = code(hn::ShiftRight<3>(word));
        x[2] = code(hn::ShiftRight<6>(word));
        x[3] = code(hn::ShiftRight<9>(word));
        x[4] = code(hn::ShiftRight<12>(word));
        x[5] = code(hn::ShiftRight<15>(word));
        x[6] = code(hn::ShiftRight<18>(word));
        x[7] = code(hn::ShiftRight<21>(word));
      } else {
        x[0] = code(word);
        x[1] = code(hn::ShiftRight<8>(word));
        x[2] = code(hn::ShiftRight<16>(word));
        x[3] = code(hn::ShiftRight<24>(word));
        x[4] = code(hn::ShiftRight<4>(word));
        x[5] = code(hn::ShiftRight<12>(word));
        x[6] = code(hn::ShiftRight<20>(word));
        x[7] = code(hn::ShiftRight<28>(word));
      }
    }
  }
}

template <class D>
HWY_INLINE hn::Vec<D> load_half(D d, std::uint16_t const* at) {
  return hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), hn::LoadU(hn::Rebind<std::uint16_t, D>(), at)));
}

/// Calls body(d, at) for all of 0 .. count - 1, a multiple of 8, in vectors as wide as go.
template <class Body>
HWY_INLINE void by_vectors(std::size_t count, Body const& body) {
  std::size_t at = 0;
  for (; at + lanes <= count; at += lanes) body(Floats(), at);
  for (; at < count; at += hn::MaxLanes(Eight())) body(Eight(), at);
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#endif
