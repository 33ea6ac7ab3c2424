#pragma once

#include "shards/codecs/moments.hpp"

namespace pikv::shards {

/// Channels by what they weigh alone, the rest dropped (methods 3.8, after ThinK, arXiv 2407.21018, over all calibration tokens): of keys E[q_c^2]
/// E[k_c^2], of values E[v_c^2] |W_o[c,:]|^2. The map is a permutation, mean 0; spectrum: the scores. E|x - x^|^2 is the sum of E[x_c^2] over what is
/// dropped. Equal scores: the lower channel first.
FullMap prune_map(HeadMoments const& moments, Part part);

}  // namespace pikv::shards
