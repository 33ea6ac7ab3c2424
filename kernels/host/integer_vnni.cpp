// Compiled for AVX-512 with VNNI and VBMI: nothing here may be inline in a header, lest the linker give it to another processor.
#include <immintrin.h>

#include <type_traits>

#include "kernels/host/coded_unit.hpp"

namespace pikv::kernels::host {
namespace {

// A query times a step, or a weight times a step, becomes a whole number of 16 bits that is split in two signed bytes, high and low; each is multiplied with the
// codes by vpdpbusd. Codes count from the middle of their range, so that what the rounding of those numbers costs is small and has no bias.
constexpr float most = 32000;   // of a 16-bit number, so that rounding up its high byte fits

template <Element element>
constexpr float middle = element == Element::int8 ? 128 : 8;

inline __m512 halves(std::uint16_t const* at) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<__m256i const*>(at))); }

/// [sum of a, of b, of c, of d]
inline __m128 sums(__m512 a, __m512 b, __m512 c, __m512 d) {
  __m512 const ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)), cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
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

inline void fetch_scales(CodedUnit const& unit, std::uint16_t const* first, std::size_t count) {
  auto const* at = reinterpret_cast<char const*>(first) + unit.fetch;
  for (std::size_t i = 0; i < 2 * count; i += 64) _mm_prefetch(at + i, _MM_HINT_T1);
}

/// sum[part][m][t] += codes of T vectors of lanes times M rows of split numbers: rows of 64 bytes for 32 numbers, `row_bytes` apart.
template <Element element, int M, int T>
inline void multiply(unsigned char const* codes, std::size_t across, int count, std::ptrdiff_t fetch, unsigned char const* rows, std::size_t row_bytes,
                     __m512i (&sum)[2][M][T]) {
  constexpr int together = element == Element::int8 ? 4 : 8;
  __m512i const nibble = _mm512_set1_epi8(0xF);
  for (int i = 0; i < count; i += together, codes += 4 * across) {
    __m512i code[T][together / 4];
#pragma GCC unroll 2
    for (int t = 0; t < T; ++t) {
      __m512i const word = _mm512_loadu_si512(codes + 64 * t);
      _mm_prefetch(reinterpret_cast<char const*>(codes + 64 * t + fetch), _MM_HINT_T1);
      if constexpr (element == Element::int8) {
        code[t][0] = word;
      } else {
        code[t][0] = _mm512_and_si512(word, nibble);
        code[t][1] = _mm512_and_si512(_mm512_srli_epi16(word, 4), nibble);
      }
    }
#pragma GCC unroll 2
    for (int q = 0; q < together / 4; ++q) {
      unsigned char const* const quad = rows + (i / 32) * 64 + (i % 32) + 4 * q;
#pragma GCC unroll 4
      for (int m = 0; m < M; ++m) {
#pragma GCC unroll 2
        for (int part = 0; part < 2; ++part) {
          __m512i const x = quad_at(quad + m * row_bytes + 32 * part);
#pragma GCC unroll 2
          for (int t = 0; t < T; ++t) sum[part][m][t] = _mm512_dpbusd_epi32(sum[part][m][t], code[t][q], x);
        }
      }
    }
  }
}

/// Queries as fp32 and as numbers of 16 bits, padded to a multiple of 32.
struct Prepared {
  float const* query;
  __m512i const* narrow;
  float unit;   // what 1 of `narrow` stands for
};

std::size_t padded(std::int32_t width) { return (static_cast<std::size_t>(width) + 31) / 32 * 32; }
std::size_t bytes_of_one(std::int32_t width) { return 64 + 6 * padded(width); }
std::size_t prepared_bytes(std::int32_t width) { return unit_records * bytes_of_one(width); }

inline Prepared prepared_at(std::byte const* at, std::int32_t width) {
  auto const* query = reinterpret_cast<float const*>(at + 64);
  return {query, reinterpret_cast<__m512i const*>(query + padded(width)), *reinterpret_cast<float const*>(at)};
}

void prepare(float const* const* queries, std::size_t records, std::int32_t width, std::byte* prepared) {
  for (std::size_t m = 0; m < records; ++m, prepared += bytes_of_one(width)) {
    auto* const query = reinterpret_cast<float*>(prepared + 64);
    __m512 top = _mm512_setzero_ps();
    for (std::size_t i = 0; i < padded(width); i += 16) {
      __m512 const q = i < static_cast<std::size_t>(width) ? _mm512_loadu_ps(queries[m] + i) : _mm512_setzero_ps();
      top = _mm512_max_ps(top, _mm512_abs_ps(q));
      _mm512_store_ps(query + i, q);
    }
    float const largest = _mm512_reduce_max_ps(top);
    auto* const narrowed = reinterpret_cast<__m512i*>(query + padded(width));
    __m512 const factor = _mm512_set1_ps(largest > 0 ? most / largest : 0);
    for (std::size_t i = 0; i < padded(width); i += 32) narrowed[i / 32] = narrow(_mm512_load_ps(query + i), _mm512_load_ps(query + i + 16), factor);
    *reinterpret_cast<float*>(prepared) = largest / most;
  }
}

inline float largest_of(__m512 x) { return _mm512_reduce_max_ps(x); }

/// A step as 16 bits: `most` for the largest; mulhrs divides by 2^15.
struct StepFactor {
  float narrow, unit;
  explicit StepFactor(float largest) : narrow{largest > 0 ? most / largest : 0}, unit{largest / most * 32768} {}
};

constexpr std::int32_t most_width = 512;

template <Element element, int M>
void score_unit(CodedUnit const& keys, std::byte const* prepared, float* dots) {
  alignas(64) unsigned char rows[M][2 * most_width];
  int const width = keys.width, blocks = static_cast<int>(padded(width)) / 32;
  Prepared query[M];
  __m512 offset[4];
  __m512i total[M];
  fetch_scales(keys, keys.lo, width);
  fetch_scales(keys, keys.step, width);
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m) query[m] = prepared_at(prepared + m * bytes_of_one(width), width);
#pragma GCC unroll 4
  for (int m = 0; m < 4; ++m) offset[m] = _mm512_setzero_ps();
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m) total[m] = _mm512_setzero_si512();
  __m512 top = _mm512_setzero_ps();
  for (int i = 0; i < width; i += 16) top = _mm512_max_ps(top, halves(keys.step + i));
  StepFactor const step{largest_of(top)};
  __m512 const factor = _mm512_set1_ps(step.narrow), center = _mm512_set1_ps(middle<element>);
  __m512i const ones = _mm512_set1_epi16(1);
  for (int block = 0; block < blocks; ++block) {
    int const at = 32 * block;
    bool const both = at + 16 < width;
    __m512 const s0 = halves(keys.step + at), s1 = both ? halves(keys.step + at + 16) : _mm512_setzero_ps();
    __m512 const c0 = _mm512_fmadd_ps(s0, center, halves(keys.lo + at)), c1 = both ? _mm512_fmadd_ps(s1, center, halves(keys.lo + at + 16)) : s1;
    __m512i const steps = narrow(s0, s1, factor);
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m) {
      offset[m] = _mm512_fmadd_ps(_mm512_load_ps(query[m].query + at), c0, offset[m]);
      offset[m] = _mm512_fmadd_ps(_mm512_load_ps(query[m].query + at + 16), c1, offset[m]);
      __m512i const x = _mm512_mulhrs_epi16(query[m].narrow[block], steps);
      total[m] = _mm512_dpwssd_epi32(total[m], x, ones);
      _mm512_store_si512(rows[m] + 64 * block, split(x));
    }
  }
  float unit[M];
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m) {
    unit[m] = query[m].unit * step.unit;
    offset[m] = _mm512_fnmadd_ps(_mm512_set1_ps(unit[m] * middle<element>), _mm512_cvtepi32_ps(total[m]), offset[m]);
  }
  alignas(16) float shift[4];
  _mm_store_ps(shift, sums(offset[0], offset[1], offset[2], offset[3]));

  auto const run = [&]<int T>(std::integral_constant<int, T>, int token) __attribute__((always_inline)) {
    __m512i sum[2][M][T];
#pragma GCC unroll 2
    for (int part = 0; part < 2; ++part)
#pragma GCC unroll 4
      for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
        for (int t = 0; t < T; ++t) sum[part][m][t] = _mm512_setzero_si512();
    multiply<element, M, T>(reinterpret_cast<unsigned char const*>(keys.codes) + 4 * (keys.first + token), keys.page_tokens, width, keys.fetch, rows[0],
                            sizeof rows[0], sum);
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m) {
      __m512 const low = _mm512_set1_ps(unit[m]), high = _mm512_set1_ps(256 * unit[m]), base = _mm512_set1_ps(shift[m]);
#pragma GCC unroll 2
      for (int t = 0; t < T; ++t)
        _mm512_storeu_ps(dots + m * unit_tokens + token + 16 * t, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[1][m][t]), high,
                                                                                  _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[0][m][t]), low, base)));
    }
  };
  int token = 0;
  if (keys.tokens == 32)
    run(std::integral_constant<int, 2>{}, token);
  else
    run(std::integral_constant<int, 1>{}, token);
}

template <Element element, int M>
void weigh_unit(CodedUnit const& values, float const* weights, float const* keep, float const* add, float* result, std::size_t stride) {
  alignas(64) unsigned char rows[M][64];
  bool const both = values.tokens == 32;
  __m512 const none = _mm512_setzero_ps(), center = _mm512_set1_ps(middle<element>);
  __m512i const ones = _mm512_set1_epi16(1);
  __m512i narrowed[M];
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m) {
    float const* const w = weights + m * unit_tokens;
    narrowed[m] = narrow(_mm512_loadu_ps(w), both ? _mm512_loadu_ps(w + 16) : none, _mm512_set1_ps(most));
  }
  constexpr int together = element == Element::int8 ? 4 : 8;
  for (int begin = 0, group = 0; begin < values.width; begin += 32, ++group) {
    std::size_t const at = static_cast<std::size_t>(group) * values.page_tokens + values.first;
    fetch_scales(values, values.lo + at, values.tokens);
    fetch_scales(values, values.step + at, values.tokens);
    __m512 const s0 = halves(values.step + at), s1 = both ? halves(values.step + at + 16) : none;
    __m512 const c0 = _mm512_fmadd_ps(s0, center, halves(values.lo + at)), c1 = both ? _mm512_fmadd_ps(s1, center, halves(values.lo + at + 16)) : none;
    StepFactor const step{largest_of(_mm512_max_ps(s0, s1))};
    __m512i const steps = narrow(s0, s1, _mm512_set1_ps(step.narrow));
    float const unit = step.unit / most;
    __m512 offset[4] = {none, none, none, none};
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m) {
      float const* const w = weights + m * unit_tokens;
      __m512i const x = _mm512_mulhrs_epi16(narrowed[m], steps);
      _mm512_store_si512(rows[m], split(x));
      offset[m] = _mm512_mul_ps(_mm512_loadu_ps(w), c0);
      if (both) offset[m] = _mm512_fmadd_ps(_mm512_loadu_ps(w + 16), c1, offset[m]);
      offset[m] = _mm512_fnmadd_ps(_mm512_set1_ps(unit * middle<element>), _mm512_cvtepi32_ps(_mm512_dpwssd_epi32(_mm512_setzero_si512(), x, ones)), offset[m]);
    }
    alignas(16) float shift[4];
    _mm_store_ps(shift, _mm_mul_ps(sums(offset[0], offset[1], offset[2], offset[3]), _mm_loadu_ps(add)));

    auto const run = [&]<int T>(std::integral_constant<int, T>) __attribute__((always_inline)) {
      __m512i sum[2][M][T];
#pragma GCC unroll 2
      for (int part = 0; part < 2; ++part)
#pragma GCC unroll 4
        for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
          for (int t = 0; t < T; ++t) sum[part][m][t] = _mm512_setzero_si512();
      auto const* codes = reinterpret_cast<unsigned char const*>(values.codes) + 4 * (static_cast<std::size_t>(values.first / together) * values.width + begin);
      multiply<element, M, T>(codes, values.width, values.tokens, values.fetch, rows[0], sizeof rows[0], sum);
#pragma GCC unroll 4
      for (int m = 0; m < M; ++m) {
        __m512 const low = _mm512_set1_ps(unit * add[m]), high = _mm512_set1_ps(256 * unit * add[m]), base = _mm512_set1_ps(shift[m]);
        __m512 const kept = _mm512_set1_ps(keep[m]);
#pragma GCC unroll 2
        for (int t = 0; t < T; ++t) {
          float* const to = result + m * stride + begin + 16 * t;
          __m512 const added = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[1][m][t]), high, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[0][m][t]), low, base));
          _mm512_storeu_ps(to, _mm512_fmadd_ps(_mm512_loadu_ps(to), kept, added));
        }
      }
    };
    if (begin + 32 <= values.width)
      run(std::integral_constant<int, 2>{});
    else
      run(std::integral_constant<int, 1>{});
  }
}

template <Element element>
void score_records(CodedUnit const& keys, std::byte const* prepared, std::size_t records, float* dots) {
  if (records == 1) score_unit<element, 1>(keys, prepared, dots);
  if (records == 2) score_unit<element, 2>(keys, prepared, dots);
  if (records == 3) score_unit<element, 3>(keys, prepared, dots);
  if (records == 4) score_unit<element, 4>(keys, prepared, dots);
}

template <Element element>
void weigh_records(CodedUnit const& values, float const* weights, std::size_t records, float const* keep, float const* add, float* result,
                   std::size_t stride) {
  if (records == 1) weigh_unit<element, 1>(values, weights, keep, add, result, stride);
  if (records == 2) weigh_unit<element, 2>(values, weights, keep, add, result, stride);
  if (records == 3) weigh_unit<element, 3>(values, weights, keep, add, result, stride);
  if (records == 4) weigh_unit<element, 4>(values, weights, keep, add, result, stride);
}

void score(Element element, CodedUnit const& keys, std::byte const* prepared, std::size_t records, float* dots) {
  (element == Element::int8 ? score_records<Element::int8> : score_records<Element::int4>)(keys, prepared, records, dots);
}

void weigh(Element element, CodedUnit const& values, float const* weights, std::size_t records, float const* keep, float const* add, float* result,
           std::size_t stride) {
  (element == Element::int8 ? weigh_records<Element::int8> : weigh_records<Element::int4>)(values, weights, records, keep, add, result, stride);
}

}  // namespace

extern IntegerKernels const vnni_kernels;
IntegerKernels const vnni_kernels{"VNNI", most_width, prepared_bytes, prepare, score, weigh};

}  // namespace pikv::kernels::host
