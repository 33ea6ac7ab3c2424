#pragma once

#include <algorithm>
#include <cstdint>

#include "shards/block.hpp"

namespace pikv::runtime {

/// How much of a stream stays in the fast tier under a scheduler of kind placement: so many of its blocks in every table, pinned ones included
/// (the first, those with the last `window` tokens, the open one), which are never fewer.
struct FastShare {
  double keep = 1;
  std::int32_t window = 0, page_tokens = 1;
  shards::Block warm = 0;   // above 0: all pages cool, and slots of so many warm blocks are kept for each running stream; the others are reserved

  shards::Block blocks(shards::Block all) const {
    if (warm > 0) return std::max(1, all - warm);
    shards::Block const pinned = 2 + shards::blocks_for(window, page_tokens);
    return std::min(all, std::max(static_cast<shards::Block>(keep * all), pinned));
  }
};

}  // namespace pikv::runtime
