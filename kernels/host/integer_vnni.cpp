// Compiled for AVX-512 with VNNI and VBMI: nothing here may be inline in a header, lest the linker give it to another processor.
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

/// A step as 16 bits: `most` for the largest; mulhrs divides by 2^15.
struct StepFactor {
  float narrow, unit;
  explicit StepFactor(float largest) : narrow{largest > 0 ? most / largest : 0}, unit{largest / most * 32768} {}
};

constexpr std::int32_t most_width = 512;

/// What a unit of keys asks of the queries: their split numbers, what 1 of those stands for, and the part of the dot that all tokens share.
template <int M>
struct UnitQueries {
  alignas(64) unsigned char rows[M][2 * most_width];
  float unit[4];
  alignas(16) float shift[4];
};

template <Element element, int M>
void prepare_unit(CodedUnit const& keys, Prepared const (&query)[M], UnitQueries<M>& to) {
  int const width = keys.width;
  __m512 const none = _mm512_setzero_ps();
  __m512 offset[4] = {none, none, none, none}, top = none;
  __m512i total[M];
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m) total[m] = _mm512_setzero_si512();
  for (int i = 0; i < width; i += 16) top = _mm512_max_ps(top, steps_at<element>(keys, i));
  fetch_scales<element>(keys, 0, width);
  StepFactor const step{_mm512_reduce_max_ps(top)};
  __m512 const factor = _mm512_set1_ps(step.narrow);
  for (int at = 0; at < width; at += 32) {
    bool const both = at + 16 < width;
    __m512 const s0 = steps_at<element>(keys, at), s1 = both ? steps_at<element>(keys, at + 16) : none;
    __m512 const m0 = middles_at<element>(keys, at), m1 = both ? middles_at<element>(keys, at + 16) : none;
    __m512 const c0 = _mm512_fmadd_ps(s0, m0, lower_ends_at<element>(keys, at, s0)),
                 c1 = both ? _mm512_fmadd_ps(s1, m1, lower_ends_at<element>(keys, at + 16, s1)) : none;
    __m512i const steps = narrow(s0, s1, factor), middles = narrow(m0, m1, _mm512_set1_ps(1));
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m) {
      offset[m] = _mm512_fmadd_ps(_mm512_load_ps(query[m].query + at), c0, offset[m]);
      offset[m] = _mm512_fmadd_ps(_mm512_load_ps(query[m].query + at + 16), c1, offset[m]);
      __m512i const x = _mm512_mulhrs_epi16(query[m].narrow[at / 32], steps);
      total[m] = _mm512_add_epi32(total[m], _mm512_madd_epi16(x, middles));
      _mm512_store_si512(to.rows[m] + 2 * at, split(x));
    }
  }
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m) {
    to.unit[m] = query[m].unit * step.unit;
    offset[m] = _mm512_fnmadd_ps(_mm512_set1_ps(to.unit[m]), _mm512_cvtepi32_ps(total[m]), offset[m]);
  }
  _mm_store_ps(to.shift, sums(offset[0], offset[1], offset[2], offset[3]));
}

template <Element element, int M, int T>
__attribute__((always_inline)) inline void score_unit(CodedUnit const& keys, UnitQueries<M> const& query, float* dots) {
  __m512i sum[2][M][T];
  clear(sum);
  if constexpr (element == Element::mixed) {
    multiply_strips<M, T>(keys, query.rows[0], sizeof query.rows[0], sum);
  } else {
    constexpr int bits = code_bits(element), bytes = word_bytes(bits);
    multiply<bits, M, T>(reinterpret_cast<unsigned char const*>(keys.codes) + bytes * keys.first, static_cast<std::size_t>(bytes * keys.page_tokens), keys.width,
                         Ahead(keys, 0), query.rows[0], sizeof query.rows[0], sum);
  }
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m) {
    __m512 const low = _mm512_set1_ps(query.unit[m]), high = _mm512_set1_ps(256 * query.unit[m]), base = _mm512_set1_ps(query.shift[m]);
#pragma GCC unroll 2
    for (int t = 0; t < T; ++t)
      _mm512_storeu_ps(dots + m * batch_tokens + 16 * t,
                       _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[1][m][t]), high, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[0][m][t]), low, base)));
  }
}

template <Element element, int M>
void score_batch(CodedUnit const* keys, std::size_t count, std::byte const* prepared, float* dots) {
  UnitQueries<M> queries[batch_units];
  Prepared query[M];
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m) query[m] = prepared_at(prepared + m * bytes_of_one(keys->width), keys->width);
  for (std::size_t u = 0; u < count; ++u) prepare_unit<element, M>(keys[u], query, queries[u]);
  for (std::size_t u = 0; u < count; ++u, dots += unit_tokens)
    if (keys->tokens == 32)
      score_unit<element, M, 2>(keys[u], queries[u], dots);
    else
      score_unit<element, M, 1>(keys[u], queries[u], dots);
}

/// The same of a batch's weights and one group of 32 numbers.
template <int M>
struct GroupWeights {
  alignas(64) unsigned char rows[batch_units][M][64];
  float unit;
  alignas(16) float shift[4];
};

/// Of values of an element, or of mixed ones of a group of so many bits.
template <Element element, int bits, int M>
void prepare_group(CodedUnit const* values, std::size_t count, int number, float const* weights, __m512i const (&narrowed)[batch_units][M],
                   float const* add, GroupWeights<M>& to) {
  bool const both = values->tokens == 32;
  __m512 const none = _mm512_setzero_ps(), center = _mm512_set1_ps(middle(bits));
  __m512i const ones = _mm512_set1_epi16(1);
  __m512 offset[4] = {none, none, none, none}, top = none;
  __m512i total[M];
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m) total[m] = _mm512_setzero_si512();
  auto const place = [&](std::size_t u) { return static_cast<std::size_t>(number) * values[u].page_tokens + values[u].first; };
  for (std::size_t u = 0; u < count; ++u) {
    top = _mm512_max_ps(top, steps_at<element>(values[u], place(u)));
    if (both) top = _mm512_max_ps(top, steps_at<element>(values[u], place(u) + 16));
  }
  StepFactor const step{_mm512_reduce_max_ps(top)};
  to.unit = step.unit / most;
  __m512 const factor = _mm512_set1_ps(step.narrow);
  for (std::size_t u = 0; u < count; ++u, weights += unit_tokens) {
    std::size_t const at = place(u);
    fetch_scales<element>(values[u], at, values->tokens);
    __m512 const s0 = steps_at<element>(values[u], at), s1 = both ? steps_at<element>(values[u], at + 16) : none;
    __m512 const c0 = _mm512_fmadd_ps(s0, center, lower_ends_at<element>(values[u], at, s0)),
                 c1 = both ? _mm512_fmadd_ps(s1, center, lower_ends_at<element>(values[u], at + 16, s1)) : none;
    __m512i const steps = narrow(s0, s1, factor);
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m) {
      __m512i const x = _mm512_mulhrs_epi16(narrowed[u][m], steps);
      _mm512_store_si512(to.rows[u][m], split(x));
      offset[m] = _mm512_fmadd_ps(_mm512_loadu_ps(weights + m * batch_tokens), c0, offset[m]);
      if (both) offset[m] = _mm512_fmadd_ps(_mm512_loadu_ps(weights + m * batch_tokens + 16), c1, offset[m]);
      total[m] = _mm512_add_epi32(total[m], _mm512_madd_epi16(x, ones));
    }
  }
  __m512 const centered = _mm512_set1_ps(to.unit * middle(bits));
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m) offset[m] = _mm512_fnmadd_ps(centered, _mm512_cvtepi32_ps(total[m]), offset[m]);
  _mm_store_ps(to.shift, _mm_mul_ps(sums(offset[0], offset[1], offset[2], offset[3]), _mm_loadu_ps(add)));
}

template <int bits, int M, int T>
__attribute__((always_inline)) inline void weigh_group(CodedUnit const* values, std::size_t count, int begin, GroupWeights<M> const& group,
                                                       float const* keep, float const* add, float* result, std::size_t stride) {
  __m512i sum[2][M][T];
  clear(sum);
  for (std::size_t u = 0; u < count; ++u) {
    CodedUnit const& unit = values[u];
    std::size_t next = static_cast<std::size_t>(unit.width * word_bytes(bits)), before = static_cast<std::size_t>(begin * word_bytes(bits));
    if (unit.strips) {
      CodedStrip const& last = unit.strips[unit.width / strip_numbers - 1];
      next = static_cast<std::size_t>((last.before + last.bits) * strip_numbers);
      before = static_cast<std::size_t>(unit.strips[begin / strip_numbers].before * strip_numbers);
    }
    auto const* codes = reinterpret_cast<unsigned char const*>(unit.codes) + static_cast<std::size_t>(unit.first / together(bits)) * next + before;
    multiply<bits, M, T>(codes, next, unit.tokens, Ahead(unit, static_cast<std::size_t>(unit.tokens / together(bits) * begin / 16)), group.rows[u][0], 64, sum);
  }
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m) {
    float const unit = group.unit * add[m];
    __m512 const low = _mm512_set1_ps(unit), high = _mm512_set1_ps(256 * unit), base = _mm512_set1_ps(group.shift[m]), kept = _mm512_set1_ps(keep[m]);
#pragma GCC unroll 2
    for (int t = 0; t < T; ++t) {
      float* const to = result + m * stride + begin + 16 * t;
      __m512 const more = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[1][m][t]), high, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[0][m][t]), low, base));
      _mm512_storeu_ps(to, _mm512_fmadd_ps(_mm512_loadu_ps(to), kept, more));
    }
  }
}

/// do_group<bits>(first number) of each group of 32 numbers.
template <Element element, class Do>
__attribute__((always_inline)) inline void for_each_group(CodedUnit const& values, Do const& do_group) {
  for (int begin = 0; begin < values.width; begin += 32) {
    if constexpr (element != Element::mixed) {
      do_group.template operator()<code_bits(element)>(begin);
    } else {
      int const bits = values.strips[begin / strip_numbers].bits;
      if (bits == 4) do_group.template operator()<4>(begin);
      if (bits == 3) do_group.template operator()<3>(begin);
      if (bits == 2) do_group.template operator()<2>(begin);
    }
  }
}

template <Element element, int M>
void weigh_batch(CodedUnit const* values, std::size_t count, float const* weights, float const* keep, float const* add, float* result,
                 std::size_t stride) {
  GroupWeights<M> groups[most_width / 32];
  __m512i narrowed[batch_units][M];
  __m512 const factor = _mm512_set1_ps(most);
  for (std::size_t u = 0; u < count; ++u)
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m) {
      float const* const weight = weights + m * batch_tokens + u * unit_tokens;
      narrowed[u][m] = narrow(_mm512_loadu_ps(weight), values->tokens == 32 ? _mm512_loadu_ps(weight + 16) : _mm512_setzero_ps(), factor);
    }
  auto const prepare = [&]<int bits>(int begin) { prepare_group<element, bits, M>(values, count, begin / 32, weights, narrowed, add, groups[begin / 32]); };
  auto const weigh = [&]<int bits>(int begin) {
    if (begin + 32 <= values->width)
      weigh_group<bits, M, 2>(values, count, begin, groups[begin / 32], keep, add, result, stride);
    else
      weigh_group<bits, M, 1>(values, count, begin, groups[begin / 32], keep, add, result, stride);
  };
  for_each_group<element>(*values, prepare);
  for_each_group<element>(*values, weigh);
}

template <Element element>
void score_records(CodedUnit const* keys, std::size_t count, std::byte const* prepared, std::size_t records, float* dots) {
  if (records == 1) score_batch<element, 1>(keys, count, prepared, dots);
  if (records == 2) score_batch<element, 2>(keys, count, prepared, dots);
  if (records == 3) score_batch<element, 3>(keys, count, prepared, dots);
  if (records == 4) score_batch<element, 4>(keys, count, prepared, dots);
}

template <Element element>
void weigh_records(CodedUnit const* values, std::size_t count, float const* weights, std::size_t records, float const* keep, float const* add,
                   float* result, std::size_t stride) {
  if (records == 1) weigh_batch<element, 1>(values, count, weights, keep, add, result, stride);
  if (records == 2) weigh_batch<element, 2>(values, count, weights, keep, add, result, stride);
  if (records == 3) weigh_batch<element, 3>(values, count, weights, keep, add, result, stride);
  if (records == 4) weigh_batch<element, 4>(values, count, weights, keep, add, result, stride);
}

void score(Element element, CodedUnit const* keys, std::size_t count, std::byte const* prepared, std::size_t records, float* dots) {
  if (element == Element::int8) score_records<Element::int8>(keys, count, prepared, records, dots);
  if (element == Element::int4) score_records<Element::int4>(keys, count, prepared, records, dots);
  if (element == Element::int3) score_records<Element::int3>(keys, count, prepared, records, dots);
  if (element == Element::int2) score_records<Element::int2>(keys, count, prepared, records, dots);
  if (element == Element::mixed) score_records<Element::mixed>(keys, count, prepared, records, dots);
}

void weigh(Element element, CodedUnit const* values, std::size_t count, float const* weights, std::size_t records, float const* keep,
           float const* add, float* result, std::size_t stride) {
  if (element == Element::int8) weigh_records<Element::int8>(values, count, weights, records, keep, add, result, stride);
  if (element == Element::int4) weigh_records<Element::int4>(values, count, weights, records, keep, add, result, stride);
  if (element == Element::int3) weigh_records<Element::int3>(values, count, weights, records, keep, add, result, stride);
  if (element == Element::int2) weigh_records<Element::int2>(values, count, weights, records, keep, add, result, stride);
  if (element == Element::mixed) weigh_records<Element::mixed>(values, count, weights, records, keep, add, result, stride);
}

}  // namespace

extern IntegerKernels const vnni_kernels;
IntegerKernels const vnni_kernels{"VNNI", most_width, prepared_bytes, prepare, score, weigh};

}  // namespace pikv::kernels::host
