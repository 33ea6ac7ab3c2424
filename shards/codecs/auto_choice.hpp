#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace pikv::shards {

/// One way to store something: what it costs, and what is lost by it.
struct Candidate {
  double bytes = 0, error = 0;
};

/// For each item one of its candidates, by place, so that the sum of bytes stays within `budget` and the sum of errors is small (methods 3.10, issue 7
/// item 5): every item begins with its cheapest and moves along the lower convex hull of its candidates, the step of all items that gains the most error
/// per byte first, until none fits. Among hull points no choice within the same bytes loses less; against all candidates, what is lost is at most the gain
/// of the first step that did not fit. Equal gains: the first item first. If even the cheapest are too many bytes, those are what is returned.
struct Choice {
  std::vector<std::size_t> places;
  Candidate sum;
};
Choice choose(std::span<std::vector<Candidate> const> items, double budget);

/// What choose() comes by on its way to the best of everything: candidates for all items as one, the cheapest first.
std::vector<Choice> frontier(std::span<std::vector<Candidate> const> items);

}  // namespace pikv::shards
