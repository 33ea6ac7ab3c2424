// Compiled for AVX-512 with VNNI and VBMI: nothing here may be seen by the linker, lest it give it to another processor.
#include "kernels/host/integer_vnni_multiply.hpp"

namespace pikv::kernels::host {
namespace {

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
