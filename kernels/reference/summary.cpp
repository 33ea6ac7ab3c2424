#include "kernels/summary.hpp"

#include <algorithm>

namespace pikv::kernels::reference {
namespace {

template <class Term>
void for_each_page_and_head(SummaryView const& summaries, std::span<std::int32_t const> pages, float const* q, std::int32_t q_heads, float* out,
                            Term term) {
  auto const d = static_cast<std::size_t>(summaries.head_dim);
  std::int32_t const share = q_heads / summaries.kv_heads;
  for (std::int32_t const page : pages) {
    for (std::int32_t head = 0; head < q_heads; ++head) {
      std::size_t const row = (static_cast<std::size_t>(page) * summaries.kv_heads + head / share) * d;
      double sum = 0;
      for (std::size_t i = 0; i < d; ++i) sum += term(double{q[head * d + i]}, row + i);
      *out++ = static_cast<float>(sum);
    }
  }
}

}   // namespace

void summarise(PoolView const& pool, std::int32_t slot, std::int32_t tokens, SummaryOut out) {
  PageLayout const& layout = pool.layout;
  auto const d = static_cast<std::size_t>(layout.head_dim);
  for (std::int32_t head = 0; head < layout.kv_heads; ++head) {
    for (std::size_t i = 0; i < d; ++i) {
      auto const key = [&](std::int32_t token) { return load_scalar(layout.dtype, pool.keys(slot), head * layout.head_scalars() + token * d + i); };
      float lo = key(0), hi = lo;
      double sum = lo;
      for (std::int32_t token = 1; token < tokens; ++token) {
        lo = std::min(lo, key(token));
        hi = std::max(hi, key(token));
        sum += key(token);
      }
      out.lo[head * d + i] = to_bf16_below(lo);
      out.hi[head * d + i] = to_bf16_above(hi);
      out.mean[head * d + i] = static_cast<float>(sum / tokens);
    }
  }
}

void upper_bounds(SummaryView const& summaries, std::span<std::int32_t const> pages, float const* q, std::int32_t q_heads, float* out) {
  for_each_page_and_head(summaries, pages, q, q_heads, out,
                         [&](double x, std::size_t at) { return std::max(x * from_bf16(summaries.lo[at]), x * from_bf16(summaries.hi[at])); });
}

void mean_logits(SummaryView const& summaries, std::span<std::int32_t const> pages, float const* q, std::int32_t q_heads, float* out) {
  for_each_page_and_head(summaries, pages, q, q_heads, out, [&](double x, std::size_t at) { return x * summaries.mean[at]; });
}

}   // namespace pikv::kernels::reference
