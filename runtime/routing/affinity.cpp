#include "runtime/routing/affinity.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace pikv::runtime {
namespace {

constexpr float none = -std::numeric_limits<float>::infinity();

/// out = log tokens + out / sqrt(head_dim), page by page.
void to_masses(kernels::SummaryView const& summaries, std::span<shards::Block const> pages, std::span<float> out) {
  float const scale = 1 / std::sqrt(static_cast<float>(summaries.head_dim));
  std::size_t const heads = pages.empty() ? 0 : out.size() / pages.size();
  for (std::size_t page = 0; page < pages.size(); ++page) {
    float const log_tokens = std::log(static_cast<float>(summaries.tokens[pages[page]]));
    for (float& mass : out.subspan(page * heads, heads)) mass = log_tokens + mass * scale;
  }
}

float log_sum_exp(std::span<float const> logs) {
  float const top = *std::ranges::max_element(logs);
  if (top == none) return none;
  float sum = 0;
  for (float const x : logs) sum += std::exp(x - top);
  return top + std::log(sum);
}

std::int32_t heads_of(kernels::SummaryView const& summaries, std::span<float const> q) {
  return static_cast<std::int32_t>(q.size()) / summaries.head_dim;
}

}  // namespace

void low_masses(kernels::SummaryView const& summaries, std::span<shards::Block const> pages, std::span<float const> q, std::span<float> out) {
  kernels::host::mean_logits(summaries, pages, q.data(), heads_of(summaries, q), out.data());
  to_masses(summaries, pages, out);
}

void high_masses(kernels::SummaryView const& summaries, std::span<shards::Block const> pages, std::span<float const> q, std::span<float> out) {
  kernels::host::upper_bounds(summaries, pages, q.data(), heads_of(summaries, q), out.data());
  to_masses(summaries, pages, out);
}

void expert_masses(std::span<float const> masses, std::span<shards::Block const> pages, std::span<shards::KvExpert const> expert_of,
                   std::int32_t q_heads, std::span<float> out) {
  auto const heads = static_cast<std::size_t>(q_heads);
  auto const at = [&](std::size_t page) { return static_cast<std::size_t>(expert_of[static_cast<std::size_t>(pages[page])]) * heads; };
  thread_local std::vector<float> sums;
  sums.assign(out.size(), 0.0f);
  std::ranges::fill(out, none);
  for (std::size_t page = 0; page < pages.size(); ++page)
    for (std::size_t h = 0, to = at(page); h < heads; ++h) out[to + h] = std::max(out[to + h], masses[page * heads + h]);
  for (std::size_t page = 0; page < pages.size(); ++page)
    for (std::size_t h = 0, to = at(page); h < heads; ++h)
      if (out[to + h] > none) sums[to + h] += std::exp(masses[page * heads + h] - out[to + h]);
  for (std::size_t i = 0; i < out.size(); ++i)
    if (out[i] > none) out[i] += std::log(sums[i]);
}

void affinity(std::span<float const> expert_masses, std::int32_t q_heads, std::span<float> z) {
  auto const heads = static_cast<std::size_t>(q_heads);
  thread_local std::vector<float> of_all, shares;
  of_all.resize(heads), shares.resize(std::max(z.size(), heads));
  for (std::size_t h = 0; h < heads; ++h) {
    for (std::size_t e = 0; e < z.size(); ++e) shares[e] = expert_masses[e * heads + h];
    of_all[h] = log_sum_exp({shares.data(), z.size()});
  }
  for (std::size_t e = 0; e < z.size(); ++e) {
    for (std::size_t h = 0; h < heads; ++h) shares[h] = of_all[h] > none ? expert_masses[e * heads + h] - of_all[h] : none;
    z[e] = log_sum_exp({shares.data(), heads}) - std::log(static_cast<float>(heads));
  }
}

}  // namespace pikv::runtime
