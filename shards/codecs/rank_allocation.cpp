#include "shards/codecs/rank_allocation.hpp"

#include <algorithm>
#include <numeric>
#include <queue>

namespace pikv::shards {
namespace {

constexpr std::size_t step = 8;

struct Group {
  double gain;        // a coordinate
  std::size_t map, first;
  bool operator<(Group const& other) const { return gain != other.gain ? gain < other.gain : map > other.map; }
};

std::size_t end_of(std::vector<double> const& spectrum, std::size_t first) { return std::min(first + step, spectrum.size()); }

Group group_of(std::span<std::vector<double> const> spectra, std::size_t map, std::size_t first) {
  auto const& spectrum = spectra[map];
  auto const begin = spectrum.begin() + static_cast<std::ptrdiff_t>(first);
  auto const count = static_cast<std::ptrdiff_t>(end_of(spectrum, first) - first);
  return {std::accumulate(begin, begin + count, 0.0) / static_cast<double>(count), map, first};
}

}  // namespace

std::vector<std::int32_t> allocate_ranks(std::span<std::vector<double> const> spectra, double mean_rank) {
  std::vector<std::int32_t> ranks;
  std::priority_queue<Group> next;
  double left = mean_rank * static_cast<double>(spectra.size());
  for (std::size_t map = 0; map < spectra.size(); ++map) {
    std::size_t const first = end_of(spectra[map], 0);
    ranks.push_back(static_cast<std::int32_t>(first));
    left -= static_cast<double>(first);
    if (first < spectra[map].size()) next.push(group_of(spectra, map, first));
  }
  while (!next.empty()) {
    Group const best = next.top();
    next.pop();
    std::size_t const end = end_of(spectra[best.map], best.first);
    if (static_cast<double>(end - best.first) > left) continue;
    left -= static_cast<double>(end - best.first);
    ranks[best.map] = static_cast<std::int32_t>(end);
    if (end < spectra[best.map].size()) next.push(group_of(spectra, best.map, end));
  }
  return ranks;
}

}  // namespace pikv::shards
