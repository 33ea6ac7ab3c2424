#pragma once

#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "runtime/page_summaries.hpp"

namespace pikv::runtime {

/// Pages of random f32 keys and their summaries. Keys of a page lie around a centre of its own, the nearer the smaller `within`.
class SummedPages {
 public:
  std::int32_t kv_heads, page_tokens, head_dim;
  std::vector<std::int32_t> tokens;   // of each page

  SummedPages(std::int32_t kv_heads_, std::int32_t page_tokens_, std::int32_t head_dim_, std::int32_t pages, double within, std::mt19937& bits)
      : kv_heads{kv_heads_}, page_tokens{page_tokens_}, head_dim{head_dim_}, summaries_{kv_heads_, head_dim_} {
    std::normal_distribution<float> normal;
    kernels::PageLayout const layout{kernels::DType::f32, kv_heads, page_tokens, head_dim};
    keys_.resize(static_cast<std::size_t>(pages) * layout.bytes() / sizeof(float));
    auto const d = static_cast<std::size_t>(head_dim);
    for (std::int32_t page = 0; page < pages; ++page) {
      tokens.push_back(page + 1 < pages ? page_tokens : 1 + static_cast<std::int32_t>(bits() % static_cast<std::uint32_t>(page_tokens)));
      for (std::int32_t head = 0; head < kv_heads; ++head) {
        std::vector<float> centre(d);
        for (float& value : centre) value = normal(bits);
        for (std::int32_t token = 0; token < tokens.back(); ++token)
          for (std::size_t i = 0; i < d; ++i) keys_[at(page, head, token) + i] = centre[i] + static_cast<float>(within) * normal(bits);
      }
      summaries_.add(page, {reinterpret_cast<std::byte*>(keys_.data()), layout.bytes(), layout}, page, tokens.back());
    }
  }
  kernels::SummaryView view() const { return summaries_.view(); }
  std::vector<shards::Block> all() const {
    std::vector<shards::Block> pages(tokens.size());
    std::iota(pages.begin(), pages.end(), 0);
    return pages;
  }
  /// Of one query head, q [head_dim], with each key of a page.
  std::vector<double> logits(std::int32_t page, std::int32_t kv_head, float const* q) const {
    std::vector<double> all;
    for (std::int32_t token = 0; token < tokens[static_cast<std::size_t>(page)]; ++token) {
      double dot = 0;
      for (std::int32_t i = 0; i < head_dim; ++i) dot += double{q[i]} * keys_[at(page, kv_head, token) + static_cast<std::size_t>(i)];
      all.push_back(dot / std::sqrt(head_dim));
    }
    return all;
  }
  double log_mass(std::int32_t page, std::int32_t kv_head, float const* q) const {
    double sum = 0;
    for (double const logit : logits(page, kv_head, q)) sum += std::exp(logit);
    return std::log(sum);
  }

 private:
  std::size_t at(std::int32_t page, std::int32_t head, std::int32_t token) const {
    return (static_cast<std::size_t>(2 * page * kv_heads + head) * static_cast<std::size_t>(page_tokens) + static_cast<std::size_t>(token)) *
           static_cast<std::size_t>(head_dim);
  }

  std::vector<float> keys_;
  PageSummaries summaries_;
};

inline std::vector<float> random_query(std::size_t count, float spread, std::mt19937& bits) {
  std::normal_distribution<float> normal{0, spread};
  std::vector<float> q(count);
  for (float& value : q) value = normal(bits);
  return q;
}

}  // namespace pikv::runtime
