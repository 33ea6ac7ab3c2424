#pragma once

#include <vector>

#include "shards/codecs/moments.hpp"

namespace pikv::shards {

/// Mean squared errors of tokens. Of keys `weighted` is E (q.x - q.x^)^2 over all pairs (q, x), before the scale 1/sqrt(d); of values
/// E|W_o^T (x - x^)|^2, summed over the group's query heads.
struct MapError {
  double squared = 0;    // E|x - x^|^2
  double weighted = 0;
};

/// What x itself amounts to in the same measures, not centred: the denominators of relative errors (methods 3.0).
MapError size_of_part(HeadMoments const& moments, Part part);

/// What a map loses of tokens with these moments, exactly: nothing is sampled.
MapError map_error(RankMap const& map, HeadMoments const& moments, Part part);

/// 8, 16, ... up to head_dim, which comes last.
std::vector<std::int32_t> rank_steps(std::int32_t head_dim);

}  // namespace pikv::shards
