#include "kernels/summary.hpp"

#include <algorithm>

#include "kernels/host/parallel.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/host/summary.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/host/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

using Bits = hn::RebindToUnsigned<Floats>;

/// The upper halves of x, of those with that sign (0: positive, 1: negative) rounded away from zero.
HWY_INLINE void store_bf16(FloatVec x, std::uint32_t rounds_away, std::uint16_t* to) {
  auto const bits = hn::BitCast(Bits(), x);
  auto const away = hn::Eq(hn::ShiftRight<31>(bits), hn::Set(Bits(), rounds_away));
  auto const rounded = hn::Add(bits, hn::IfThenElseZero(away, hn::Set(Bits(), 0xFFFFu)));
  hn::Rebind<std::uint16_t, Floats> const half;
  hn::StoreU(hn::TruncateTo(half, hn::ShiftRight<16>(rounded)), half, to);
}

template <DType type>
HWY_INLINE void summarise_channels(void const* keys, std::size_t at, std::size_t d, std::int32_t tokens, SummaryOut out) {
  FloatVec lo = load_as_float<type>(keys, at), hi = lo, sum = lo;
  for (std::int32_t token = 1; token < tokens; ++token) {
    FloatVec const key = load_as_float<type>(keys, at += d);
    lo = hn::Min(lo, key);
    hi = hn::Max(hi, key);
    sum = hn::Add(sum, key);
  }
  store_bf16(lo, 1, out.lo);
  store_bf16(hi, 0, out.hi);
  hn::StoreU(hn::Div(sum, hn::Set(Floats(), static_cast<float>(tokens))), Floats(), out.mean);
}

void summarise_channel(DType type, void const* keys, std::size_t at, std::size_t d, std::int32_t tokens, SummaryOut out) {
  float lo = load_scalar(type, keys, at), hi = lo, sum = lo;
  for (std::int32_t token = 1; token < tokens; ++token) {
    float const key = load_scalar(type, keys, at += d);
    lo = std::min(lo, key);
    hi = std::max(hi, key);
    sum += key;
  }
  *out.lo = to_bf16_below(lo);
  *out.hi = to_bf16_above(hi);
  *out.mean = sum / static_cast<float>(tokens);
}

template <DType type>
void summarise_as(PageLayout const& layout, void const* keys, std::int32_t tokens, SummaryOut out) {
  auto const d = static_cast<std::size_t>(layout.head_dim);
  for (std::size_t head = 0; head < static_cast<std::size_t>(layout.kv_heads); ++head) {
    auto const place = [&](std::size_t i) { return SummaryOut{out.lo + head * d + i, out.hi + head * d + i, out.mean + head * d + i}; };
    std::size_t const from = head * layout.head_scalars();
    std::size_t i = 0;
    for (; i + lanes <= d; i += lanes) summarise_channels<type>(keys, from + i, d, tokens, place(i));
    for (; i < d; ++i) summarise_channel(type, keys, from + i, d, tokens, place(i));
  }
}

void summarise_page(PageLayout const& layout, void const* keys, std::int32_t tokens, SummaryOut out) {
  switch (layout.dtype) {
    case DType::f32:
      return summarise_as<DType::f32>(layout, keys, tokens, out);
    case DType::bf16:
      return summarise_as<DType::bf16>(layout, keys, tokens, out);
    case DType::f16:
      return summarise_as<DType::f16>(layout, keys, tokens, out);
  }
}

/// Of each channel the end of the box that gives the larger product.
struct Box {
  std::uint16_t const *lo, *hi;
  HWY_INLINE FloatVec add(FloatVec q, std::size_t i, FloatVec sum) const {
    auto const end = hn::IfThenElse(hn::Lt(q, hn::Zero(Floats())), load_as_float<DType::bf16>(lo, i), load_as_float<DType::bf16>(hi, i));
    return hn::MulAdd(q, end, sum);
  }
  float times(float q, std::size_t i) const { return q * from_bf16(q < 0 ? lo[i] : hi[i]); }
};

struct Mean {
  float const* mean;
  HWY_INLINE FloatVec add(FloatVec q, std::size_t i, FloatVec sum) const { return hn::MulAdd(q, hn::LoadU(Floats(), mean + i), sum); }
  float times(float q, std::size_t i) const { return q * mean[i]; }
};

/// One query head with four pages at a time.
template <class Row>
HWY_INLINE void dots(float const* q, std::size_t d, Row const (&rows)[4], float* to) {
  FloatVec sum[4] = {hn::Zero(Floats()), hn::Zero(Floats()), hn::Zero(Floats()), hn::Zero(Floats())};
  std::size_t i = 0;
  for (; i + lanes <= d; i += lanes) {
    FloatVec const x = hn::LoadU(Floats(), q + i);
    HWY_UNROLL(4)
    for (int r = 0; r < 4; ++r) sum[r] = rows[r].add(x, i, sum[r]);
  }
  store_sums(sum[0], sum[1], sum[2], sum[3], to);
  for (; i < d; ++i)
    for (int r = 0; r < 4; ++r) to[r] += rows[r].times(q[i], i);
}

template <class RowAt>
HWY_INLINE void four_pages(SummaryView const& summaries, std::span<std::int32_t const> pages, float const* q, std::size_t q_heads, float* out,
                           RowAt row_at) {
  auto const d = static_cast<std::size_t>(summaries.head_dim), kv_heads = static_cast<std::size_t>(summaries.kv_heads);
  std::size_t const share = q_heads / kv_heads;
  auto const row = [&](std::size_t page, std::size_t head) {
    return row_at((static_cast<std::size_t>(pages[std::min(page, pages.size() - 1)]) * kv_heads + head / share) * d);
  };
  for (std::size_t head = 0; head < q_heads; ++head) {
    float sums[4];
    dots(q + head * d, d, {row(0, head), row(1, head), row(2, head), row(3, head)}, sums);
    for (std::size_t page = 0; page < pages.size(); ++page) out[page * q_heads + head] = sums[page];
  }
}

void bound_four(SummaryView const& summaries, std::span<std::int32_t const> pages, float const* q, std::size_t q_heads, float* out) {
  four_pages(summaries, pages, q, q_heads, out, [&](std::size_t at) { return Box{summaries.lo + at, summaries.hi + at}; });
}

void mean_four(SummaryView const& summaries, std::span<std::int32_t const> pages, float const* q, std::size_t q_heads, float* out) {
  four_pages(summaries, pages, q, q_heads, out, [&](std::size_t at) { return Mean{summaries.mean + at}; });
}

}   // namespace HWY_NAMESPACE
}   // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pikv::kernels::host {

HWY_EXPORT(summarise_page);
HWY_EXPORT(bound_four);
HWY_EXPORT(mean_four);

namespace {
template <class Four>
void by_four(SummaryView const& summaries, std::span<std::int32_t const> pages, std::int32_t q_heads, float* out, Four const& four) {
  auto const heads = static_cast<std::size_t>(q_heads);
  double const work = 2.0 * static_cast<double>(pages.size()) * q_heads * summaries.head_dim;
  parallel_for((pages.size() + 3) / 4, work, [&](std::size_t item, int) {
    std::size_t const first = item * 4;
    four(pages.subspan(first, std::min<std::size_t>(4, pages.size() - first)), heads, out + first * heads);
  });
}
}   // namespace

void summarise(PoolView const& pool, std::int32_t slot, std::int32_t tokens, SummaryOut out) {
  HWY_DYNAMIC_DISPATCH(summarise_page)(pool.layout, pool.keys(slot), tokens, out);
}

void upper_bounds(SummaryView const& summaries, std::span<std::int32_t const> pages, float const* q, std::int32_t q_heads, float* out) {
  by_four(summaries, pages, q_heads, out, [&](std::span<std::int32_t const> four, std::size_t heads, float* to) {
    HWY_DYNAMIC_DISPATCH(bound_four)(summaries, four, q, heads, to);
  });
}

void mean_logits(SummaryView const& summaries, std::span<std::int32_t const> pages, float const* q, std::int32_t q_heads, float* out) {
  by_four(summaries, pages, q_heads, out, [&](std::span<std::int32_t const> four, std::size_t heads, float* to) {
    HWY_DYNAMIC_DISPATCH(mean_four)(summaries, four, q, heads, to);
  });
}

}   // namespace pikv::kernels::host
#endif
