#include "runtime/page_summaries.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace pikv::runtime {

void PageSummaries::add(shards::Block block, kernels::PoolView const& pool, std::int32_t slot, std::int32_t tokens) {
  if (pool.layout.kv_heads != kv_heads_ || pool.layout.head_dim != head_dim_) throw std::logic_error("a page of another shape than its summaries");
  std::size_t const width = static_cast<std::size_t>(kv_heads_) * static_cast<std::size_t>(head_dim_);
  std::size_t const at = static_cast<std::size_t>(block) * width;
  if (static_cast<std::size_t>(block) >= tokens_.size()) resize(static_cast<std::size_t>(block) + 1);
  kernels::host::summarise(pool, slot, tokens, {lo_.data() + at, hi_.data() + at, mean_.data() + at});
  tokens_[static_cast<std::size_t>(block)] = tokens;
  std::fill_n(error_.begin() + static_cast<std::ptrdiff_t>(block) * kv_heads_, kv_heads_, 0.0f);
}

void PageSummaries::set_key_errors(shards::Block block, std::span<float const> errors) {
  std::ranges::copy(errors, error_.begin() + static_cast<std::ptrdiff_t>(block) * kv_heads_);
}

float PageSummaries::relative_key_error(shards::Block block) const {
  float largest = 0;
  for (std::int32_t head = 0; head < kv_heads_; ++head) {
    float const error = key_error(block, head);
    if (error == 0) continue;
    float square = 0;
    std::size_t const first = (at(block) * static_cast<std::size_t>(kv_heads_) + static_cast<std::size_t>(head)) * static_cast<std::size_t>(head_dim_);
    for (std::size_t i = first; i < first + static_cast<std::size_t>(head_dim_); ++i) {
      float const end = std::max(std::abs(kernels::from_bf16(lo_[i])), std::abs(kernels::from_bf16(hi_[i])));
      square += end * end;
    }
    largest = std::max(largest, square > 0 ? std::min(1.0f, error / std::sqrt(square)) : 1.0f);
  }
  return largest;
}

void PageSummaries::forget(shards::Block from) {
  if (static_cast<std::size_t>(from) < tokens_.size()) resize(static_cast<std::size_t>(from));
}

void PageSummaries::resize(std::size_t blocks) {
  std::size_t const width = static_cast<std::size_t>(kv_heads_) * static_cast<std::size_t>(head_dim_);
  if (blocks > tokens_.capacity()) {   // by an eighth: doubling would waste as much as is held
    std::size_t const room = blocks + blocks / 8 + 7;
    tokens_.reserve(room), mean_.reserve(room * width), lo_.reserve(room * width), hi_.reserve(room * width);
    error_.reserve(room * static_cast<std::size_t>(kv_heads_));
  }
  tokens_.resize(blocks, 0), mean_.resize(blocks * width), lo_.resize(blocks * width), hi_.resize(blocks * width);
  error_.resize(blocks * static_cast<std::size_t>(kv_heads_));
}

bool PageSummaries::knows(shards::Block block) const {
  return static_cast<std::size_t>(block) < tokens_.size() && tokens_[static_cast<std::size_t>(block)] > 0;
}

kernels::SummaryView PageSummaries::view() const { return {lo_.data(), hi_.data(), mean_.data(), tokens_.data(), kv_heads_, head_dim_}; }

std::size_t PageSummaries::bytes() const {
  return (lo_.capacity() + hi_.capacity()) * sizeof(std::uint16_t) + (mean_.capacity() + error_.capacity()) * sizeof(float) + tokens_.capacity() * sizeof(std::int32_t);
}

void PageSummaries::save(StateWriter& out) const {
  out.list(lo_);
  out.list(hi_);
  out.list(mean_);
  out.list(tokens_);
  out.list(error_);
}

void PageSummaries::restore(StateReader& in) {
  in.list(lo_);
  in.list(hi_);
  in.list(mean_);
  in.list(tokens_);
  in.list(error_);
  std::size_t const scalars = tokens_.size() * static_cast<std::size_t>(kv_heads_) * static_cast<std::size_t>(head_dim_);
  if (lo_.size() != scalars || hi_.size() != scalars || mean_.size() != scalars || error_.size() * static_cast<std::size_t>(head_dim_) != scalars) throw RunError("summaries in a checkpoint are of another shape than the model's pages; resume from an older checkpoint");
}

}  // namespace pikv::runtime
