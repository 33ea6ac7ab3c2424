#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/page_summaries.hpp"

namespace pikv::runtime {

/// A page that may go.
struct Candidate {
  float utility = 0;
  shards::Block block = 0;
  std::int32_t tokens = 0;
};

/// Which candidates go so that at least `excess` tokens go, in order (methods 4.12): each time the one of lowest u (1 - gamma r), r = cosine, at
/// least 0, of its mean key (all KV heads of the table side by side) and that of the page most like it that is still there, candidates included. Of
/// two twins one goes, after which the other counts as unique. A page without a summary is like no other. Equal ones: the earlier candidate.
///   candidates  ascending utility, then block
///   staying     the other pages of the table
/// O(candidates * pages * width), and as much again per page that goes in the worst case.
std::vector<shards::Block> choose_redundant(std::span<Candidate const> candidates, std::span<shards::Block const> staying,
                                            PageSummaries const& summaries, double gamma, std::int64_t excess);

}   // namespace pikv::runtime
