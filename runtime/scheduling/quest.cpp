#include "runtime/scheduling/quest.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "kernels/summary.hpp"

namespace pikv::runtime {
namespace {

constexpr std::int32_t dense_layers = 2;
constexpr float always = std::numeric_limits<float>::infinity();

class Quest final : public Scheduler {
 public:
  explicit Quest(SchedulerMaterial const& material) : shape_{material.shape}, summaries_{material.summaries} {
    if (summaries_.size() != static_cast<std::size_t>(shape_.tables)) throw std::logic_error("quest needs the summaries of every table");
  }

  void utilities(std::int32_t, std::span<Block const>, Budget const&, std::span<float> u) override { std::fill(u.begin(), u.end(), 1.f); }

  void select(std::int32_t table, std::span<Block const> pages, std::span<float const> q, std::span<float> score) override {
    std::fill(score.begin(), score.end(), always);
    if (shape_.layer < dense_layers) return;
    PageSummaries const& summaries = summaries_[static_cast<std::size_t>(table)];
    known_.clear();
    std::copy_if(pages.begin(), pages.end(), std::back_inserter(known_), [&](Block page) { return summaries.knows(page); });
    auto const heads = static_cast<std::size_t>(shape_.q_heads);
    bounds_.resize(known_.size() * heads);
    kernels::host::upper_bounds(summaries.view(), known_, q.data(), shape_.q_heads, bounds_.data());
    below_highest(heads);
    auto bounds = bounds_.begin();
    for (std::size_t i = 0; i < pages.size(); ++i) {
      if (!summaries.knows(pages[i])) continue;
      score[i] = *std::max_element(bounds, bounds + shape_.q_heads) / std::sqrt(static_cast<float>(shape_.head_dim));
      bounds += shape_.q_heads;
    }
  }

 private:
  void below_highest(std::size_t heads) {
    for (std::size_t head = 0; head < heads; ++head) {
      float highest = -always;
      for (std::size_t i = head; i < bounds_.size(); i += heads) {
        if (std::isnan(bounds_[i])) throw std::logic_error("a query or a page summary is not a number");
        highest = std::max(highest, bounds_[i]);
      }
      for (std::size_t i = head; i < bounds_.size(); i += heads) bounds_[i] -= highest;
    }
  }

  LayerShape shape_;
  std::span<PageSummaries const> summaries_;
  std::vector<Block> known_;
  std::vector<float> bounds_;   // [known][q_heads]
};

}   // namespace

std::unique_ptr<Scheduler> make_quest(SchedulerMaterial const& material) { return std::make_unique<Quest>(material); }

}   // namespace pikv::runtime
