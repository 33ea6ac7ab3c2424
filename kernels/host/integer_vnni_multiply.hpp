// Of integer_vnni.cpp alone, whose instructions it needs: all of it is of the file that includes it, lest the linker give it to another processor.
#pragma once

#include <immintrin.h>

#include "kernels/host/coded_unit.hpp"

namespace pikv::kernels::host {
namespace {

// A query times a step, or a weight times a step, becomes a whole number of 16 bits that is split in two signed bytes, high and low; each is
// multiplied with the codes by vpdpbusd. Codes count from the middle of their range, so that what the rounding of those numbers costs is small and
// has no bias.
constexpr float most = 32000;   // of a 16-bit number, so that rounding up its high byte fits

constexpr float middle(int bits) { return static_cast<float>(1 << (bits - 1)); }

inline __m512 halves(std::uint16_t const* at) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<__m256i const*>(at))); }

inline __m128i bytes_at(void const* at) { return _mm_loadu_si128(static_cast<__m128i const*>(at)); }

/// Steps and lower ends of 16 groups.
template <Element element>
inline __m512 steps_at(CodedUnit const& unit, std::size_t at) {
  if constexpr (element == Element::mixed)
    return _mm512_cvtph_ps(_mm256_slli_epi16(_mm256_cvtepu8_epi16(bytes_at(unit.byte_step + at)), 7));
  else
    return halves(unit.step + at);
}
template <Element element>
inline __m512 lower_ends_at(CodedUnit const& unit, std::size_t at, __m512 steps) {
  if constexpr (element == Element::mixed)
    return _mm512_mul_ps(steps, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes_at(unit.zero + at))));
  else
    return halves(unit.lo + at);
}

/// The middles of the codes of 16 numbers from `number` on.
template <Element element>
inline __m512 middles_at(CodedUnit const& keys, int number) {
  if constexpr (element == Element::mixed) {
    CodedStrip const* const strip = keys.strips + number / strip_numbers;
    return _mm512_mask_blend_ps(0xFF00, _mm512_set1_ps(middle(strip[0].bits)), _mm512_set1_ps(middle(strip[1].bits)));
  } else {
    return _mm512_set1_ps(middle(code_bits(element)));
  }
}

/// [sum of a, of b, of c, of d]
inline __m128 sums(__m512 a, __m512 b, __m512 c, __m512 d) {
  __m512 const ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)),
               cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  __m512 const by_lane = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
  __m256 const half = _mm256_add_ps(_mm512_castps512_ps256(by_lane), _mm512_extractf32x8_ps(by_lane, 1));
  return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

/// Two vectors of fp32 as 32 numbers of 16 bits, quads in the order 0 4 1 5 2 6 3 7.
inline __m512i narrow(__m512 a, __m512 b, __m512 factor) {
  return _mm512_packs_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(a, factor)), _mm512_cvtps_epi32(_mm512_mul_ps(b, factor)));
}

/// 32 low bytes and then 32 high bytes of narrow()'s numbers, in order.
inline __m512i split(__m512i x) {
  alignas(64) static constexpr auto order = [] {
    struct {
      unsigned char at[64];
    } bytes{};
    for (int quad = 0; quad < 8; ++quad)
      for (int i = 0; i < 4; ++i) {
        int const word = 8 * (quad % 4) + 4 * (quad / 4) + i;
        bytes.at[4 * quad + i] = static_cast<unsigned char>(2 * word);
        bytes.at[32 + 4 * quad + i] = static_cast<unsigned char>(2 * word + 1);
      }
    return bytes;
  }();
  __m512i const rounding = _mm512_set1_epi16(0x80);
  return _mm512_permutexvar_epi8(_mm512_load_si512(order.at), _mm512_xor_si512(_mm512_add_epi16(x, rounding), rounding));
}

inline __m512i quad_at(unsigned char const* bytes) {
  int x;
  __builtin_memcpy(&x, bytes, 4);
  return _mm512_set1_epi32(x);
}

inline void fetch(CodedUnit const& unit, void const* first, std::size_t bytes) {
  auto const* at = static_cast<char const*>(first) + unit.fetch;
  for (std::size_t i = 0; i < bytes; i += 64) _mm_prefetch(at + i, _MM_HINT_T1);
}

template <Element element>
inline void fetch_scales(CodedUnit const& unit, std::size_t at, std::size_t count) {
  if constexpr (element == Element::mixed) {
    fetch(unit, unit.zero + at, count);
    fetch(unit, unit.byte_step + at, count);
  } else {
    fetch(unit, unit.lo + at, 2 * count);
    fetch(unit, unit.step + at, 2 * count);
  }
}

/// Lines to be fetched while a unit is at work, from two places by turns: what the memory has under way is limited by place too.
struct Ahead {
  char const *first, *second;
  Ahead(CodedUnit const& unit, std::size_t lines)
      : first{reinterpret_cast<char const*>(unit.ahead[0]) + 32 * lines}, second{reinterpret_cast<char const*>(unit.ahead[1]) + 32 * lines} {}
  void fetch() {
    _mm_prefetch(first, _MM_HINT_T1);
    char const* const next = first + 64;
    first = second;
    second = next;
  }
};

/// sum += codes * bytes, by quads. The intrinsic, with g++ 12, copies the sum before and after.
__attribute__((always_inline)) inline void add_dots(__m512i& sum, __m512i codes, __m512i bytes) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes), "v"(bytes));
}

/// Numbers whose codes lie together in a lane, and the bytes these take.
constexpr int together(int bits) { return bits == 8 ? 4 : 8; }
constexpr int word_bytes(int bits) { return bits == 8 ? 4 : bits; }

struct Bytes64 {
  alignas(64) unsigned char at[64];
};
/// Where each byte of 16 lanes of 4 comes from, of words of 2 or 3 bytes.
template <int bits>
constexpr Bytes64 word_of_lane() {
  Bytes64 bytes{};
  for (int i = 0; i < 64; ++i) bytes.at[i] = static_cast<unsigned char>(i / 4 * bits + i % 4 % bits);
  return bytes;
}
/// The first bit of codes 0 to 3 (of 4 to 7) in two such lanes.
template <int bits>
constexpr Bytes64 bit_of_code(int first) {
  Bytes64 bytes{};
  for (int i = 0; i < 64; ++i) bytes.at[i] = static_cast<unsigned char>(i % 8 / 4 * 32 + (first + i % 4) * bits);
  return bytes;
}

/// The codes of 16 lanes, a byte each, four to a lane.
template <int bits>
__attribute__((always_inline)) inline void unpack(unsigned char const* at, __m512i (&code)[together(bits) / 4]) {
  if constexpr (bits == 8) {
    code[0] = _mm512_loadu_si512(at);
  } else if constexpr (bits == 4) {
    __m512i const word = _mm512_loadu_si512(at), nibble = _mm512_set1_epi8(0xF);
    code[0] = _mm512_and_si512(word, nibble);
    code[1] = _mm512_and_si512(_mm512_srli_epi16(word, 4), nibble);
  } else {
    static constexpr Bytes64 lanes = word_of_lane<bits>(), low = bit_of_code<bits>(0), high = bit_of_code<bits>(4);
    __m512i const packed = _mm512_maskz_loadu_epi8((std::uint64_t{1} << 16 * bits) - 1, at), mask = _mm512_set1_epi8((1 << bits) - 1);
    __m512i const word = _mm512_permutexvar_epi8(_mm512_load_si512(lanes.at), packed);
    code[0] = _mm512_and_si512(_mm512_multishift_epi64_epi8(_mm512_load_si512(low.at), word), mask);
    code[1] = _mm512_and_si512(_mm512_multishift_epi64_epi8(_mm512_load_si512(high.at), word), mask);
  }
}

/// `Numbers` consecutive numbers, their split numbers at `rows`, M rows of them. next: bytes from words to the next of the same lanes.
template <int bits, int M, int T, int Numbers>
__attribute__((always_inline)) inline void multiply_some(unsigned char const* codes, std::size_t next, Ahead& ahead, unsigned char const* rows,
                                                         std::size_t row_bytes, __m512i (&sum)[2][M][T]) {
  constexpr int step = together(bits), quads = step / 4;
#pragma GCC unroll 8
  for (int i = 0; i < Numbers; i += step, codes += next) {
    __m512i code[T][quads];
#pragma GCC unroll 2
    for (int t = 0; t < T; ++t) {
      unpack<bits>(codes + 16 * word_bytes(bits) * t, code[t]);
      if (bits >= 4 || (i / step * T + t) % 4 < bits) ahead.fetch();   // a line for each 64 bytes
    }
#pragma GCC unroll 2
    for (int q = 0; q < quads; ++q) {
#pragma GCC unroll 4
      for (int m = 0; m < M; ++m) {
#pragma GCC unroll 2
        for (int part = 0; part < 2; ++part) {
          __m512i const x = quad_at(rows + i + 4 * q + m * row_bytes + 32 * part);
#pragma GCC unroll 2
          for (int t = 0; t < T; ++t) add_dots(sum[part][m][t], code[t][q], x);
        }
      }
    }
  }
}

template <int M, int T>
__attribute__((always_inline)) inline void clear(__m512i (&sum)[2][M][T]) {
#pragma GCC unroll 2
  for (int part = 0; part < 2; ++part)
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
      for (int t = 0; t < T; ++t) sum[part][m][t] = _mm512_setzero_si512();
}

/// sum[part][m][t] += codes of T vectors of lanes times M rows of split numbers: rows of 64 bytes for 32 numbers, `row_bytes` apart.
template <int bits, int M, int T>
__attribute__((always_inline)) inline void multiply(unsigned char const* codes, std::size_t next, int count, Ahead ahead, unsigned char const* rows,
                                                    std::size_t row_bytes, __m512i (&sum)[2][M][T]) {
  for (; count >= 32; count -= 32, codes += 32 / together(bits) * next, rows += 64)
    multiply_some<bits, M, T, 32>(codes, next, ahead, rows, row_bytes, sum);
  if (count > 0) multiply_some<bits, M, T, 16>(codes, next, ahead, rows, row_bytes, sum);
}

/// The same of keys strip by strip.
template <int M, int T>
__attribute__((always_inline)) inline void multiply_strips(CodedUnit const& keys, unsigned char const* rows, std::size_t row_bytes, __m512i (&sum)[2][M][T]) {
  Ahead ahead(keys, 0);
  auto const* codes = reinterpret_cast<unsigned char const*>(keys.codes);
  for (int i = 0; i < keys.width; i += strip_numbers) {
    unsigned char const* const of_strip = rows + 2 * (i / 32 * 32) + i % 32;
    int const bits = keys.strips[i / strip_numbers].bits;
    std::size_t const first = static_cast<std::size_t>(keys.first * bits);
    if (bits == 4)
      multiply_some<4, M, T, strip_numbers>(codes + first, 0, ahead, of_strip, row_bytes, sum);
    else if (bits == 3)
      multiply_some<3, M, T, strip_numbers>(codes + first, 0, ahead, of_strip, row_bytes, sum);
    else
      multiply_some<2, M, T, strip_numbers>(codes + first, 0, ahead, of_strip, row_bytes, sum);
    codes += static_cast<std::size_t>(keys.page_tokens * bits);
  }
}

}  // namespace
}  // namespace pikv::kernels::host
