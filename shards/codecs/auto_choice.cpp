#include "shards/codecs/auto_choice.hpp"

#include <algorithm>
#include <numeric>
#include <queue>

namespace pikv::shards {
namespace {

using Places = std::vector<std::size_t>;

/// Candidates on the lower convex hull of (bytes, error), by rising bytes: each step gains less per byte than the one before.
Places hull_of(std::vector<Candidate> const& candidates) {
  Places order(candidates.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
    return candidates[a].bytes != candidates[b].bytes ? candidates[a].bytes < candidates[b].bytes : candidates[a].error < candidates[b].error;
  });
  Places hull;
  auto const gain = [&](std::size_t from, std::size_t to) {
    return (candidates[from].error - candidates[to].error) / (candidates[to].bytes - candidates[from].bytes);
  };
  for (std::size_t const next : order) {
    if (!hull.empty() && candidates[next].error >= candidates[hull.back()].error) continue;
    while (hull.size() > 1 && gain(hull[hull.size() - 2], hull.back()) <= gain(hull.back(), next)) hull.pop_back();
    hull.push_back(next);
  }
  return hull;
}

struct Step {
  double gain;
  std::size_t item, to;   // place in its hull
  bool operator<(Step const& other) const { return gain != other.gain ? gain < other.gain : item > other.item; }
};

/// Begins with the cheapest, then takes the steps that `take(bytes)` allows; `look` sees every choice on the way.
template <typename Take, typename Look>
void walk(std::span<std::vector<Candidate> const> items, Take const& take, Look const& look) {
  std::vector<Places> hulls;
  std::priority_queue<Step> next;
  Choice at{Places(items.size()), {}};
  auto const candidate = [&](std::size_t item, std::size_t place) -> Candidate const& { return items[item][hulls[item][place]]; };
  auto const add_step = [&](std::size_t item, std::size_t to) {
    if (to >= hulls[item].size()) return;
    Candidate const &from = candidate(item, to - 1), &into = candidate(item, to);
    next.push({(from.error - into.error) / (into.bytes - from.bytes), item, to});
  };
  for (std::size_t item = 0; item < items.size(); ++item) {
    hulls.push_back(hull_of(items[item]));
    at.places[item] = hulls[item].front();
    at.sum.bytes += candidate(item, 0).bytes;
    at.sum.error += candidate(item, 0).error;
    add_step(item, 1);
  }
  look(at);
  while (!next.empty()) {
    Step const step = next.top();
    next.pop();
    Candidate const &from = candidate(step.item, step.to - 1), &into = candidate(step.item, step.to);
    if (!take(at.sum.bytes + into.bytes - from.bytes)) continue;
    at.sum.bytes += into.bytes - from.bytes;
    at.sum.error += into.error - from.error;
    at.places[step.item] = hulls[step.item][step.to];
    look(at);
    add_step(step.item, step.to + 1);
  }
}

}  // namespace

Choice choose(std::span<std::vector<Candidate> const> items, double budget) {
  Choice last;
  walk(items, [&](double bytes) { return bytes <= budget; }, [&](Choice const& choice) { last = choice; });
  return last;
}

std::vector<Choice> frontier(std::span<std::vector<Candidate> const> items) {
  std::vector<Choice> all;
  walk(items, [](double) { return true; }, [&](Choice const& choice) { all.push_back(choice); });
  return all;
}

}  // namespace pikv::shards
