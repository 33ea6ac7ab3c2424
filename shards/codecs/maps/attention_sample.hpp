#pragma once

#include <cstdint>
#include <vector>

#include "shards/codecs/maps/matrix.hpp"

namespace pikv::shards {

/// The beginning of a sequence as one KV head sees it: keys (after rotary) and values [tokens][d] from position 0 on, and some of the queries that
/// read it: `positions` [n], ascending; q [query heads of the group] of [n][d]. A query reads the tokens up to its own.
struct AttentionWindow {
  Matrix k, v;
  std::vector<std::int32_t> positions;
  std::vector<Matrix> q;
};

}  // namespace pikv::shards
