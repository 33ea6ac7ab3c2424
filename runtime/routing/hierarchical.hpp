#pragma once

#include <memory>
#include <span>
#include <vector>

#include "runtime/routing/routers.hpp"

namespace pikv::runtime {

inline constexpr std::int32_t most_groups = 4;

/// The k best experts of the `open` best groups (methods 2.7); a group's score is the sum of its ceil(k / open) best members' (DeepSeek-V3).
/// Ties: the lower group, the lower expert. Groups that together hold fewer than k experts are joined by the next best ones until they do.
class GroupedChoice {
 public:
  GroupedChoice(std::vector<std::int32_t> group, std::int32_t open);                           // group of each expert, any ids >= 0
  void choose(std::span<float const> scores, std::int32_t k, std::vector<KvExpert>& chosen);   // scores >= 0

 private:
  std::vector<std::int32_t> group_, size_, counted_;   // of each expert; of each group
  std::int32_t open_;
  std::vector<float> score_;
  std::vector<bool> is_open_;
  std::vector<KvExpert> by_score_, best_groups_;
};

/// Router `hierarchical`: that of p = softmax(affinity) and the `most_groups` best groups of the material, so that a query meets few nodes.
std::unique_ptr<Router> make_hierarchical_router(RouterMaterial const& material);

}  // namespace pikv::runtime
