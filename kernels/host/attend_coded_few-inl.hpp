// Included once per Highway target, hence the guard of its own.
#if defined(PIKV_KERNELS_HOST_ATTEND_CODED_FEW_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef PIKV_KERNELS_HOST_ATTEND_CODED_FEW_INL
#undef PIKV_KERNELS_HOST_ATTEND_CODED_FEW_INL
#else
#define PIKV_KERNELS_HOST_ATTEND_CODED_FEW_INL
#endif

#include <algorithm>
#include <cmath>

#include "kernels/host/coded_load-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

/// Queries of up to four records, as a unit's codes want them: q * step [records][width], and q . lo.
struct ScaledQueries {
  float const* row[unit_records];
  float offset[unit_records];
};

template <Element element>
HWY_INLINE ScaledQueries scale_queries(CodedUnit const& keys, float const* const* queries, std::size_t records, float* scratch) {
  ScaledQueries scaled{};
  auto const width = static_cast<std::size_t>(keys.width);
  for (std::size_t m = 0; m < records; ++m, scratch += width) {
    scaled.row[m] = queries[m];
    if constexpr (element == Element::fp8) {
      by_vectors(width, [&](auto d, std::size_t i)
                            HWY_ATTR { hn::StoreU(hn::Mul(hn::LoadU(d, queries[m] + i), hn::Set(d, 256 * keys.scale)), d, scratch + i); });
      scaled.row[m] = scratch;
    }
    if constexpr (has_steps(element)) {
      float sum = 0;
      by_vectors(width, [&](auto d, std::size_t i) HWY_ATTR {
        auto const q = hn::LoadU(d, queries[m] + i), step = load_steps<element>(d, keys, i);
        hn::StoreU(hn::Mul(q, step), d, scratch + i);
        sum += hn::GetLane(hn::SumOfLanes(d, hn::Mul(q, load_lower_ends<element>(d, keys, i, step))));
      });
      scaled.row[m] = scratch;
      scaled.offset[m] = sum;
    }
  }
  return scaled;
}

/// sum += the codes that lie together at `at` of T vectors of lanes, times what M rows have for them from i on.
template <Element element, int M, int T, class D, class V = hn::Vec<D>>
HWY_INLINE void add_products(D d, CodedUnit const& unit, float const* const (&row)[unit_records], std::byte const* at, std::int32_t i, V (&sum)[M][T]) {
  constexpr int n = numbers_together(element);
  constexpr std::size_t wide = hn::MaxLanes(D()), bytes = bytes_together(element);
  V x[T][n];
  HWY_UNROLL(2)
  for (int t = 0; t < T; ++t) {
    load_codes<element>(d, at + t * wide * bytes, x[t]);
    __builtin_prefetch(at + t * wide * bytes + unit.fetch, 0, 2);
  }
  HWY_UNROLL(8)
  for (int k = 0; k < n; ++k) {
    HWY_UNROLL(4)
    for (int m = 0; m < M; ++m) {
      V const factor = hn::Set(d, row[m][i + k]);
      HWY_UNROLL(2)
      for (int t = 0; t < T; ++t) sum[m][t] = hn::MulAdd(factor, x[t][k], sum[m][t]);
    }
  }
}

/// Dots of M records with T vectors of tokens from `token` of the unit on.
template <Element element, int M, int T, class D>
HWY_INLINE void score_tokens(D d, CodedUnit const& keys, ScaledQueries const& queries, std::size_t token, float* dots) {
  constexpr std::size_t wide = hn::MaxLanes(D());
  using V = hn::Vec<D>;
  V sum[M][T];
  HWY_UNROLL(4)
  for (int m = 0; m < M; ++m)
    for (int t = 0; t < T; ++t) sum[m][t] = hn::Set(d, queries.offset[m]);
  std::size_t const first = keys.first + token;
  if constexpr (element == Element::mixed) {
    std::byte const* at = keys.codes;
    for (std::int32_t i = 0; i < keys.width; i += strip_numbers) {
      std::size_t const bytes = keys.strips[i / strip_numbers].bits;
      by_bits(keys.strips[i / strip_numbers].bits, [&](auto of) HWY_ATTR { add_products<of()>(d, keys, queries.row, at + first * bytes, i, sum); });
      at += keys.page_tokens * bytes;
    }
  } else {
    constexpr std::size_t bytes = bytes_together(element);
    std::byte const* at = keys.codes + first * bytes;
    for (std::int32_t i = 0; i < keys.width; i += numbers_together(element), at += keys.page_tokens * bytes) add_products<element>(d, keys, queries.row, at, i, sum);
  }
  HWY_UNROLL(4)
  for (int m = 0; m < M; ++m)
    for (int t = 0; t < T; ++t) hn::StoreU(sum[m][t], d, dots + m * batch_tokens + token + t * wide);
}

template <Element element, int M>
HWY_NOINLINE void score_unit(CodedUnit const& keys, float const* const* queries, float* scratch, float* dots) {
  ScaledQueries const scaled = scale_queries<element>(keys, queries, M, scratch);
  std::size_t token = 0;
  auto const tokens = static_cast<std::size_t>(keys.tokens);
  for (; token + 2 * lanes <= tokens; token += 2 * lanes) score_tokens<element, M, 2>(Floats(), keys, scaled, token, dots);
  for (; token + lanes <= tokens; token += lanes) score_tokens<element, M, 1>(Floats(), keys, scaled, token, dots);
  for (; token < tokens; token += hn::MaxLanes(Eight())) score_tokens<element, M, 1>(Eight(), keys, scaled, token, dots);
}

/// Weights of up to four records and one group of 32 numbers: weight * step [records][unit_tokens], and the sum of weight * lo.
struct ScaledWeights {
  float const* row[unit_records];
  float offset[unit_records];
};

template <Element element>
HWY_INLINE ScaledWeights scale_weights(CodedUnit const& values, std::size_t group, float const* weights, std::size_t records, float* scratch) {
  ScaledWeights scaled{};
  auto const tokens = static_cast<std::size_t>(values.tokens);
  std::size_t const at = group * values.page_tokens + values.first;
  for (std::size_t m = 0; m < records; ++m, weights += batch_tokens, scratch += unit_tokens) {
    scaled.row[m] = weights;
    if constexpr (element == Element::fp8) {
      by_vectors(tokens, [&](auto d, std::size_t t)
                             HWY_ATTR { hn::Store(hn::Mul(hn::Load(d, weights + t), hn::Set(d, 256 * values.scale)), d, scratch + t); });
      scaled.row[m] = scratch;
    }
    if constexpr (has_steps(element)) {
      float sum = 0;
      by_vectors(tokens, [&](auto d, std::size_t t) HWY_ATTR {
        auto const w = hn::Load(d, weights + t), step = load_steps<element>(d, values, at + t);
        hn::Store(hn::Mul(w, step), d, scratch + t);
        sum += hn::GetLane(hn::SumOfLanes(d, hn::Mul(w, load_lower_ends<element>(d, values, at + t, step))));
      });
      scaled.row[m] = scratch;
      scaled.offset[m] = sum;
    }
  }
  return scaled;
}

/// Of values of one element, also of those numbers of mixed ones that have its bits.
template <Element element, int M, int T, class D>
HWY_INLINE void weigh_numbers(D d, CodedUnit const& values, ScaledWeights const& weights, std::size_t number, float const* keep, float const* add,
                              float* result, std::size_t stride) {
  constexpr std::size_t wide = hn::MaxLanes(D());
  using V = hn::Vec<D>;
  V sum[M][T];
  HWY_UNROLL(4)
  for (int m = 0; m < M; ++m)
    for (int t = 0; t < T; ++t) sum[m][t] = hn::Set(d, weights.offset[m]);
  auto [at, next] = value_words<element>(values, number);
  for (std::int32_t i = 0; i < values.tokens; i += numbers_together(element), at += next) add_products<element>(d, values, weights.row, at, i, sum);
  HWY_UNROLL(4)
  for (int m = 0; m < M; ++m)
    for (int t = 0; t < T; ++t) {
      float* const to = result + m * stride + number + t * wide;
      hn::StoreU(hn::MulAdd(hn::Set(d, keep[m]), hn::LoadU(d, to), hn::Mul(hn::Set(d, add[m]), sum[m][t])), d, to);
    }
}

template <Element element, int M>
HWY_INLINE void weigh_group(CodedUnit const& values, ScaledWeights const& weights, std::size_t number, std::size_t end, float const* keep, float const* add,
                            float* result, std::size_t stride) {
  for (; number + 2 * lanes <= end; number += 2 * lanes) weigh_numbers<element, M, 2>(Floats(), values, weights, number, keep, add, result, stride);
  for (; number + lanes <= end; number += lanes) weigh_numbers<element, M, 1>(Floats(), values, weights, number, keep, add, result, stride);
  for (; number < end; number += hn::MaxLanes(Eight())) weigh_numbers<element, M, 1>(Eight(), values, weights, number, keep, add, result, stride);
}

template <Element element, int M>
HWY_NOINLINE void weigh_unit(CodedUnit const& values, float const* weights, float* scratch, float const* keep, float const* add, float* result,
                             std::size_t stride) {
  auto const width = static_cast<std::size_t>(values.width);
  for (std::size_t begin = 0; begin < width; begin += 32) {
    ScaledWeights const scaled = scale_weights<element>(values, begin / 32, weights, M, scratch);
    std::size_t const end = std::min(width, begin + 32);
    if constexpr (element == Element::mixed)
      by_bits(values.strips[begin / strip_numbers].bits,
              [&](auto of) HWY_ATTR { weigh_group<of(), M>(values, scaled, begin, end, keep, add, result, stride); });
    else
      weigh_group<element, M>(values, scaled, begin, end, keep, add, result, stride);
  }
}

template <Element element>
void score_records(std::size_t records, CodedUnit const& keys, float const* const* queries, float* scratch, float* dots) {
  if (records == 1) score_unit<element, 1>(keys, queries, scratch, dots);
  if (records == 2) score_unit<element, 2>(keys, queries, scratch, dots);
  if (records == 3) score_unit<element, 3>(keys, queries, scratch, dots);
  if (records == 4) score_unit<element, 4>(keys, queries, scratch, dots);
}

template <Element element>
void weigh_records(std::size_t records, CodedUnit const& values, float const* weights, float* scratch, float const* keep, float const* add,
                   float* result, std::size_t stride) {
  if (records == 1) weigh_unit<element, 1>(values, weights, scratch, keep, add, result, stride);
  if (records == 2) weigh_unit<element, 2>(values, weights, scratch, keep, add, result, stride);
  if (records == 3) weigh_unit<element, 3>(values, weights, scratch, keep, add, result, stride);
  if (records == 4) weigh_unit<element, 4>(values, weights, scratch, keep, add, result, stride);
}

/// The dots of one record and a unit become logits, those from `visible` on -inf. Returns their maximum by lane.
HWY_INLINE FloatVec scale_dots(float* dots, std::size_t tokens, std::size_t visible, float shift, float scale) {
  Floats const d;
  FloatVec const hidden = hn::Set(d, empty_max), factor = hn::Set(d, scale), shifted = hn::Set(d, shift * scale);
  FloatVec top = hidden;
  for (std::size_t t = 0; t < tokens; t += lanes) {
    FloatVec logit = hn::MulAdd(hn::LoadU(d, dots + t), factor, shifted);
    if (t + lanes > visible) logit = hn::IfThenElse(hn::FirstN(d, visible > t ? visible - t : 0), logit, hidden);
    hn::StoreU(logit, d, dots + t);
    top = hn::Max(top, logit);
  }
  return top;
}

/// Logits become weights exp(logit - base). Returns their sum by lane.
HWY_INLINE FloatVec soften_logits(float* logits, std::size_t tokens, float base) {
  Floats const d;
  FloatVec const subtracted = hn::Set(d, base);
  FloatVec sum = hn::Zero(d);
  for (std::size_t t = 0; t < tokens; t += lanes) {
    FloatVec const weight = exp_of_negative(d, hn::Sub(hn::LoadU(d, logits + t), subtracted));
    hn::StoreU(weight, d, logits + t);
    sum = hn::Add(sum, weight);
  }
  return sum;
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#endif
