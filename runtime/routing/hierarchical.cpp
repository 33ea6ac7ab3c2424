#include "runtime/routing/hierarchical.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "runtime/routing/scores.hpp"

namespace pikv::runtime {
namespace {

class HierarchicalRouter : public Router {
 public:
  explicit HierarchicalRouter(RouterMaterial const& material) : choice_{material.group, most_groups}, scores_(material.group.size()) {
    if (scores_.size() != static_cast<std::size_t>(material.experts)) throw std::logic_error("groups of another number of experts");
  }
  void route(RouterQuery const& query, ExpertStats const&, std::int32_t k, std::vector<KvExpert>& chosen) override {
    log_softmax(query.affinity, scores_);
    for (float& score : scores_) score = std::exp(score);
    choice_.choose(scores_, k, chosen);
  }

 private:
  GroupedChoice choice_;
  std::vector<float> scores_;
};

}  // namespace

GroupedChoice::GroupedChoice(std::vector<std::int32_t> group, std::int32_t open) : group_{std::move(group)}, open_{open} {
  std::size_t const groups = group_.empty() ? 0 : static_cast<std::size_t>(*std::ranges::max_element(group_)) + 1;
  size_.resize(groups), counted_.resize(groups), score_.resize(groups), is_open_.resize(groups);
  for (std::int32_t const g : group_) ++size_[static_cast<std::size_t>(g)];
}

void GroupedChoice::choose(std::span<float const> scores, std::int32_t k, std::vector<KvExpert>& chosen) {
  if (k < 0 || static_cast<std::size_t>(k) > scores.size()) throw std::logic_error("asked for more experts than there are");
  auto const group_of = [&](KvExpert e) { return static_cast<std::size_t>(group_[static_cast<std::size_t>(e)]); };
  take_top(scores, static_cast<std::int32_t>(scores.size()), by_score_);
  std::ranges::fill(score_, 0.0f);
  std::ranges::fill(counted_, (k + open_ - 1) / open_);
  for (KvExpert const e : by_score_)
    if (counted_[group_of(e)]-- > 0) score_[group_of(e)] += scores[static_cast<std::size_t>(e)];

  take_top(score_, static_cast<std::int32_t>(score_.size()), best_groups_);
  is_open_.assign(score_.size(), false);
  for (std::int32_t opened = 0, members = 0; std::int32_t const g : best_groups_) {
    if (opened >= open_ && members >= k) break;
    if (size_[static_cast<std::size_t>(g)] == 0) continue;
    is_open_[static_cast<std::size_t>(g)] = true;
    ++opened;
    members += size_[static_cast<std::size_t>(g)];
  }

  chosen.clear();
  for (KvExpert const e : by_score_)
    if (is_open_[group_of(e)] && std::ssize(chosen) < k) chosen.push_back(e);
}

std::unique_ptr<Router> make_hierarchical_router(RouterMaterial const& material) { return std::make_unique<HierarchicalRouter>(material); }

}  // namespace pikv::runtime
