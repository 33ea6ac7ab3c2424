// Included once per Highway target, hence the guard of its own.
#if defined(PIKV_KERNELS_HOST_CODED_LOAD_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef PIKV_KERNELS_HOST_CODED_LOAD_INL
#undef PIKV_KERNELS_HOST_CODED_LOAD_INL
#else
#define PIKV_KERNELS_HOST_CODED_LOAD_INL
#endif

#include <type_traits>

#include "kernels/coded.hpp"
#include "kernels/host/coded_unit.hpp"
#include "kernels/host/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

/// Half of the widest vector, for widths and pages that are a multiple of 8 alone.
using Eight = hn::CappedTag<float, 8>;

/// A word of 4 bytes, or of 3 or 2, of each lane.
template <std::size_t bytes, class D>
HWY_INLINE hn::Vec<D> load_word(D d, std::byte const* at) {
  if constexpr (bytes == 4) {
    return hn::LoadU(d, reinterpret_cast<std::uint32_t const*>(at));
  } else if constexpr (bytes == 2) {
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<std::uint16_t, D>(), reinterpret_cast<std::uint16_t const*>(at)));
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
      auto const low = hn::Set(bits, static_cast<std::uint32_t>(top_code(code_bits(element))));
      auto const code = [&](auto v) HWY_ATTR { return hn::ConvertTo(d, hn::BitCast(integers, hn::And(v, low))); };
      if constexpr (element == Element::int8) {
        x[0] = code(word);
        x[1] = code(hn::ShiftRight<8>(word));
        x[2] = code(hn::ShiftRight<16>(word));
        x[3] = code(hn::ShiftRight<24>(word));
      } else if constexpr (element == Element::int3 || element == Element::int2) {
        constexpr int width = code_bits(element);
        x[0] = code(word);
        x[1] = code(hn::ShiftRight<width>(word));
        x[2] = code(hn::ShiftRight<2 * width>(word));
        x[3] = code(hn::ShiftRight<3 * width>(word));
        x[4] = code(hn::ShiftRight<4 * width>(word));
        x[5] = code(hn::ShiftRight<5 * width>(word));
        x[6] = code(hn::ShiftRight<6 * width>(word));
        x[7] = code(hn::ShiftRight<7 * width>(word));
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

/// The steps of groups from `at` on, and their lower ends where those steps are known.
template <Element element, class D>
HWY_INLINE hn::Vec<D> load_steps(D d, CodedUnit const& unit, std::size_t at) {
  if constexpr (element == Element::mixed) {
    auto const bits = hn::ShiftLeft<7>(hn::PromoteTo(hn::Rebind<std::uint16_t, D>(), hn::LoadU(hn::Rebind<std::uint8_t, D>(), unit.byte_step + at)));
    return hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), bits));
  } else {
    return load_half(d, unit.step + at);
  }
}
template <Element element, class D>
HWY_INLINE hn::Vec<D> load_lower_ends(D d, CodedUnit const& unit, std::size_t at, hn::Vec<D> steps) {
  if constexpr (element == Element::mixed) {
    hn::RebindToSigned<D> const integers;
    return hn::Mul(steps, hn::ConvertTo(d, hn::PromoteTo(integers, hn::LoadU(hn::Rebind<std::int8_t, D>(), unit.zero + at))));
  } else {
    return load_half(d, unit.lo + at);
  }
}

/// Where a number of the unit's first tokens lies, and how far it is to the same of the next that lie together.
struct ValueWords {
  std::byte const* at;
  std::size_t next;
};

template <Element element>
HWY_INLINE ValueWords value_words(CodedUnit const& values, std::size_t number) {
  constexpr std::size_t bytes = bytes_together(element);
  if (values.strips) {
    CodedStrip const &strip = values.strips[number / strip_numbers], &last = values.strips[values.width / strip_numbers - 1];
    std::size_t const next = static_cast<std::size_t>(last.before + last.bits) * strip_numbers;
    return {values.codes + static_cast<std::size_t>(values.first / strip_numbers) * next + strip.before * strip_numbers + number % strip_numbers * bytes, next};
  }
  std::size_t const next = values.width * bytes;
  return {values.codes + static_cast<std::size_t>(values.first / numbers_together(element)) * next + number * bytes, next};
}

/// Calls body with the element, as a constant.
template <class Body>
HWY_INLINE void by_element(Element element, Body const& body) {
  using enum Element;
  switch (element) {
    case f32: return body(std::integral_constant<Element, f32>());
    case bf16: return body(std::integral_constant<Element, bf16>());
    case f16: return body(std::integral_constant<Element, f16>());
    case int8: return body(std::integral_constant<Element, int8>());
    case int4: return body(std::integral_constant<Element, int4>());
    case int3: return body(std::integral_constant<Element, int3>());
    case int2: return body(std::integral_constant<Element, int2>());
    case mixed: return body(std::integral_constant<Element, mixed>());
    case fp8: return body(std::integral_constant<Element, fp8>());
  }
}

/// With the one whose codes have as many bits, of a strip.
template <class Body>
HWY_INLINE void by_bits(int bits, Body const& body) {
  if (bits == 2) body(std::integral_constant<Element, Element::int2>());
  if (bits == 3) body(std::integral_constant<Element, Element::int3>());
  if (bits == 4) body(std::integral_constant<Element, Element::int4>());
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
