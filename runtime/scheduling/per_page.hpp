#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "shards/block.hpp"

namespace pikv::runtime {

/// What a policy knows of each page of each table, found by block in O(1).
template <class State>
class PerPage {
 public:
  explicit PerPage(std::int32_t tables) : tables_(static_cast<std::size_t>(tables)) {}

  /// The page's state, `fresh` if nothing is known of it yet. Valid until the next get().
  State& get(std::int32_t table, shards::Block block, State const& fresh) {
    auto& pages = tables_.at(static_cast<std::size_t>(table));
    auto const index = static_cast<std::size_t>(block);
    if (index >= pages.size()) pages.resize(index + 1);
    if (!pages[index]) pages[index] = fresh;
    return *pages[index];
  }
  void forget(std::int32_t table, shards::Block block) {
    auto& pages = tables_.at(static_cast<std::size_t>(table));
    if (auto const index = static_cast<std::size_t>(block); index < pages.size()) pages[index].reset();
  }

 private:
  std::vector<std::vector<std::optional<State>>> tables_;
};

}   // namespace pikv::runtime
