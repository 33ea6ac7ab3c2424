#include "runtime/analyze/figures.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <stdexcept>

#include "runtime/analyze/windows.hpp"

namespace pikv::runtime::analyze {
namespace {

template <std::size_t N, typename T, typename U>
void add_each(std::array<T, N>& sums, std::array<U, N> const& values) {
  std::ranges::transform(sums, values, sums.begin(), std::plus{});
}

double total(auto const& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

double seconds_of(Sums const& sums, Stage stage) { return sums.stage_s[static_cast<std::size_t>(stage)]; }

void add_ranks(Figures& figures, Trace const& trace) {
  figures.ranks.resize(trace.ranks.size());
  for (auto const& row : trace.steps) {
    auto& rank = figures.ranks[static_cast<std::size_t>(row.rank)];
    rank.sums.add(row);
    rank.memory_peak_bytes = std::max(rank.memory_peak_bytes, resident(row.memory));
    figures.all.add(row);
  }
  auto const rank_loads = loads_of(trace.steps, trace.ranks.size());
  for (std::size_t load = 0; load < loads; ++load) {
    auto const& values = rank_loads[load];
    for (std::size_t rank = 0; rank < values.size(); ++rank) figures.ranks[rank].load[load] = values[rank];
    figures.variation[load] = variation(values);
    double const sum = total(values);
    if (sum > 0) figures.max_over_mean[load] = std::ranges::max(values) * static_cast<double>(values.size()) / sum;
  }
}

void add_waiting(Figures& figures, Trace const& trace) {
  double waiting = 0;
  for_each_step(trace.steps, [&](std::span<StepRecord const> step) {
    std::vector<double> busy;
    for (auto const& row : step) {
      Sums one;
      one.add(row);
      busy.push_back(one.busy_s());
    }
    auto const slowest = std::ranges::max_element(busy);
    waiting += *slowest * static_cast<double>(busy.size()) - total(busy);
    ++figures.ranks[static_cast<std::size_t>(step[static_cast<std::size_t>(slowest - busy.begin())].rank)].steps_slowest;
    ++figures.steps;
  });
  if (figures.all.seconds() > 0) figures.waiting_share = waiting / figures.all.seconds();
}

void add_stragglers(Figures& figures) {
  if (figures.ranks.size() < 2) return;
  double const others = static_cast<double>(figures.ranks.size() - 1);
  double const run_s = figures.all.seconds() / static_cast<double>(figures.ranks.size());
  for (std::size_t rank = 0; rank < figures.ranks.size(); ++rank)
    for (std::size_t s = 0; s < stages; ++s) {
      auto const stage = static_cast<Stage>(s);
      double const mine = seconds_of(figures.ranks[rank].sums, stage);
      double const theirs = (seconds_of(figures.all, stage) - mine) / others;
      if (stage != Stage::communication && mine > 1.1 * theirs && mine - theirs > 0.01 * run_s)
        figures.stragglers.push_back({static_cast<std::int32_t>(rank), stage, mine, theirs});
    }
  std::ranges::sort(figures.stragglers, std::greater{}, [](Straggler const& s) { return s.seconds - s.others_s; });
}

void add_requests(Figures& figures, Trace const& trace) {
  std::vector<double> ttft, tpot;
  for (auto const& row : trace.requests) {
    figures.prompt_tokens += row.prompt_tokens;
    figures.generated += row.generated - row.generated_before;
    if (row.generated > 0) ttft.push_back(row.first_token - row.arrival);
    if (row.generated > 1) tpot.push_back((row.end - row.first_token) / (row.generated - 1));
  }
  figures.ttft_s = percentiles(std::move(ttft));
  figures.tpot_s = percentiles(std::move(tpot));
}

}   // namespace

void Sums::add(StepRecord const& row) {
  rows_decode += row.rows_decode;
  rows_prefill += row.rows_prefill;
  sequences += row.sequences;
  add_each(stage_s, row.stage_s);
  add_each(bytes, row.bytes);
  add_each(messages, row.messages);
  add_each(bytes_by_locality, row.bytes_by_locality);
  for (std::size_t i = 0; i < counters.size(); ++i) counts[i] += row.*counters[i].of;
}

double Sums::seconds() const { return total(stage_s); }

double Sums::busy_s() const { return seconds() - seconds_of(*this, Stage::communication); }

std::uint64_t Sums::bytes_to_others() const { return std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0}); }

std::uint64_t Sums::count(std::uint32_t StepRecord::*of) const {
  auto const counter = std::ranges::find(counters, of, &Counter::of);
  if (counter == counters.end()) throw std::logic_error("figures: this count of a step is in no list of counters");
  return counts[static_cast<std::size_t>(counter - counters.begin())];
}

char const* to_string(Load load) {
  switch (load) {
    case Load::expert:
      return "expert";
    case Load::memory:
      return "memory";
    case Load::communication:
      return "communication";
  }
  return "unknown";
}

std::uint64_t resident(std::array<std::uint64_t, shards::memory_categories> const& memory) {
  return std::accumulate(memory.begin(), memory.end(), std::uint64_t{0}) - memory[static_cast<std::size_t>(shards::Memory::free)];
}

std::optional<double> variation(std::span<double const> values) {
  double const mean = total(values) / static_cast<double>(values.size());
  if (values.size() < 2 || mean == 0) return std::nullopt;
  double squares = 0;
  for (double const value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / static_cast<double>(values.size())) / mean;
}

Figures figures_of(Trace const& trace) {
  Figures figures;
  add_ranks(figures, trace);
  add_waiting(figures, trace);
  add_stragglers(figures);
  add_requests(figures, trace);
  figures.quarters = windows_of(trace, 4);
  figures.windows = windows_of(trace, 64);
  if (!figures.windows.empty()) figures.seconds = figures.windows.back().end_s - figures.windows.front().begin_s;
  return figures;
}

}   // namespace pikv::runtime::analyze
