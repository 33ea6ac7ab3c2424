#include "runtime/analyze/windows.hpp"

#include <algorithm>
#include <numeric>

namespace pikv::runtime::analyze {
namespace {

Window window_of(std::span<StepRecord const> rows, std::size_t ranks) {
  Window window;
  window.first_step = rows.front().step;
  window.last_step = rows.back().step;
  window.begin_s = std::ranges::min(rows, {}, &StepRecord::begin).begin;
  window.end_s = std::ranges::max(rows, {}, &StepRecord::end).end;
  for (auto const& row : rows) {
    window.sums.add(row);
    if (row.step != window.last_step) continue;
    for (std::size_t i = 0; i < row.memory.size(); ++i) window.memory[i] += row.memory[i];
    window.tokens_resident += row.tokens_resident;
  }
  auto const values = loads_of(rows, ranks);
  std::ranges::transform(values, window.variation.begin(), [](auto const& load) { return variation(load); });
  return window;
}

}   // namespace

std::array<std::vector<double>, loads> loads_of(std::span<StepRecord const> rows, std::size_t ranks) {
  std::array<std::vector<double>, loads> values;
  values.fill(std::vector<double>(ranks));
  std::int64_t steps = 0;
  for_each_step(rows, [&](auto) { ++steps; });
  for (auto const& row : rows) {
    auto const add = [&](Load load, double value) { values[static_cast<std::size_t>(load)][static_cast<std::size_t>(row.rank)] += value; };
    add(Load::expert, row.pages_read);
    add(Load::memory, static_cast<double>(resident(row.memory)) / static_cast<double>(steps));
    add(Load::communication, std::accumulate(row.bytes.begin(), row.bytes.end(), 0.0));
  }
  return values;
}

std::vector<Window> windows_of(Trace const& trace, std::size_t most) {
  std::vector<std::size_t> starts;   // of steps, in rows
  for_each_step(trace.steps, [&](std::span<StepRecord const> step) { starts.push_back(static_cast<std::size_t>(step.data() - trace.steps.data())); });
  std::size_t const steps = starts.size(), parts = std::min(most, steps);
  starts.push_back(trace.steps.size());
  std::vector<Window> windows;
  for (std::size_t part = 0; part < parts; ++part) {
    std::size_t const first = starts[part * steps / parts], last = starts[(part + 1) * steps / parts];
    windows.push_back(window_of(std::span{trace.steps}.subspan(first, last - first), trace.ranks.size()));
  }
  return windows;
}

}   // namespace pikv::runtime::analyze
