#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/analyze/figures.hpp"

namespace pikv::runtime::analyze {

/// Calls `action` with the rows of each step in turn.
template <typename Action>
void for_each_step(std::span<StepRecord const> rows, Action const& action) {
  for (std::size_t first = 0, last = 0; first < rows.size(); first = last) {
    while (last < rows.size() && rows[last].step == rows[first].step) ++last;
    action(rows.subspan(first, last - first));
  }
}

/// By load and rank: sums over rows, for memory the mean over the steps there are.
std::array<std::vector<double>, loads> loads_of(std::span<StepRecord const> rows, std::size_t ranks);

/// The run in `most` parts of as many steps, or in a part per step where there are fewer.
std::vector<Window> windows_of(Trace const& trace, std::size_t most);

}   // namespace pikv::runtime::analyze
