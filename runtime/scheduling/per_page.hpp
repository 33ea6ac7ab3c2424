#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/policy_state.hpp"
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

  void save(StateWriter& out) const {
    for (auto const& pages : tables_) {
      out.value(std::uint64_t{pages.size()});
      for (std::optional<State> const& page : pages) {
        out.value(static_cast<std::uint8_t>(page ? 1 : 0));
        if (page) out.value(*page);
      }
    }
  }
  void restore(StateReader& in) {
    for (auto& pages : tables_) {
      pages.clear();
      for (auto left = in.value<std::uint64_t>(); left > 0; --left) {
        auto& page = pages.emplace_back();
        if (in.value<std::uint8_t>() != 0) page = in.value<State>();
      }
    }
  }

 private:
  std::vector<std::vector<std::optional<State>>> tables_;
};

}   // namespace pikv::runtime
