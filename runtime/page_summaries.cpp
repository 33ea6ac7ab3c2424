#include "runtime/page_summaries.hpp"

#include <algorithm>
#include <stdexcept>

namespace pikv::runtime {

void PageSummaries::add(shards::Block block, kernels::PoolView const& pool, std::int32_t slot, std::int32_t tokens) {
  if (pool.layout.kv_heads != kv_heads_ || pool.layout.head_dim != head_dim_) throw std::logic_error("a page of another shape than its summaries");
  std::size_t const width = static_cast<std::size_t>(kv_heads_) * static_cast<std::size_t>(head_dim_);
  std::size_t const at = static_cast<std::size_t>(block) * width;
  if (static_cast<std::size_t>(block) >= tokens_.size()) {
    tokens_.resize(static_cast<std::size_t>(block) + 1, 0);
    for (auto* const box : {&lo_, &hi_}) box->resize(at + width);
    mean_.resize(at + width);
  }
  kernels::host::summarise(pool, slot, tokens, {lo_.data() + at, hi_.data() + at, mean_.data() + at});
  tokens_[static_cast<std::size_t>(block)] = tokens;
}

void PageSummaries::forget(shards::Block from) {
  std::size_t const kept = std::min(tokens_.size(), static_cast<std::size_t>(from));
  std::size_t const width = static_cast<std::size_t>(kv_heads_) * static_cast<std::size_t>(head_dim_);
  tokens_.resize(kept);
  for (auto* const box : {&lo_, &hi_}) box->resize(kept * width);
  mean_.resize(kept * width);
}

bool PageSummaries::knows(shards::Block block) const {
  return static_cast<std::size_t>(block) < tokens_.size() && tokens_[static_cast<std::size_t>(block)] > 0;
}

kernels::SummaryView PageSummaries::view() const {
  return {lo_.data(), hi_.data(), mean_.data(), tokens_.data(), kv_heads_, head_dim_};
}

std::size_t PageSummaries::bytes() const {
  return (lo_.capacity() + hi_.capacity()) * sizeof(std::uint16_t) + mean_.capacity() * sizeof(float) + tokens_.capacity() * sizeof(std::int32_t);
}

}  // namespace pikv::runtime
