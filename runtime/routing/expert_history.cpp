#include "runtime/routing/expert_history.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace pikv::runtime {

ExpertHistory::ExpertHistory(KvExpert experts, double flush_steps)
    : pages_(static_cast<std::size_t>(experts)), missed_(pages_.size()), fading_{static_cast<float>(std::exp(-1 / flush_steps))} {
  for (auto* const values : {&stats_.miss, &stats_.flush, &stats_.compression, &stats_.distance}) values->assign(pages_.size(), 0.0f);
  stats_.load.assign(pages_.size(), 1 / static_cast<float>(experts));
}

void ExpertHistory::read(KvExpert expert, std::uint32_t pages, std::uint32_t missed) {
  pages_[static_cast<std::size_t>(expert)] += pages;
  missed_[static_cast<std::size_t>(expert)] += missed;
}

void ExpertHistory::evicted(KvExpert expert, double share) { stats_.flush[static_cast<std::size_t>(expert)] = static_cast<float>(share); }

void ExpertHistory::compression(std::span<float const> error, float largest) {
  for (std::size_t e = 0; e < error.size(); ++e) stats_.compression[e] = std::min(1.0f, error[e] / largest);
}

void ExpertHistory::distance(std::span<float const> seconds) {
  float const longest = *std::ranges::max_element(seconds);
  for (std::size_t e = 0; e < seconds.size(); ++e) stats_.distance[e] = longest > 0 ? seconds[e] / longest : 0;
}

void ExpertHistory::end_step() {
  auto const experts = static_cast<float>(pages_.size());
  float const mean_miss = std::accumulate(stats_.miss.begin(), stats_.miss.end(), 0.0f) / experts;
  auto const all_pages = static_cast<float>(std::accumulate(pages_.begin(), pages_.end(), std::uint64_t{0}));
  float const kept = std::exp2(-1.0f / 64);
  for (std::size_t e = 0; e < pages_.size(); ++e) {
    auto const pages = static_cast<float>(pages_[e]);
    float& miss = stats_.miss[e];
    miss += pages > 0 ? 0.05f * (static_cast<float>(missed_[e]) / pages - miss) : 0.01f * (mean_miss - miss);
    if (all_pages > 0) stats_.load[e] = kept * stats_.load[e] + (1 - kept) * pages / all_pages;
    stats_.flush[e] *= fading_;
  }
  std::ranges::fill(pages_, 0u);
  std::ranges::fill(missed_, 0u);
}

}  // namespace pikv::runtime
