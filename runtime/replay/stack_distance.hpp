#pragma once

#include <cstdint>
#include <vector>

#include "runtime/replay/reads.hpp"

namespace pikv::runtime::replay {

/// What LRU caches of every size hit: [c] of c pages, c = 0 .. reads.distinct; larger ones hit what that of `distinct` does.
struct LruCurve {
  std::vector<std::int64_t> hits, prefix_hits;   // as in Score
};

/// In one pass (Mattson et al. 1970): the stack distance of a read is the number of distinct pages read since the last read of its page; a cache of c
/// pages hits the reads of distance < c, and a request's prefix up to the first distance >= c. O(n log n) with a Fenwick tree over the reads.
LruCurve lru_curve(Reads const& reads);

}   // namespace pikv::runtime::replay
