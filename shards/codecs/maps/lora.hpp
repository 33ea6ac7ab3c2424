#pragma once

#include "shards/codecs/moments.hpp"

namespace pikv::shards {

/// Top eigenvectors of E[x x^T], mean 0: what the whitened SVD of Palu (arXiv 2407.21118) finds, for keys after rotary (methods 3.1). E|x - x^|^2 at
/// rank r is the tail of the spectrum.
FullMap lora_map(HeadMoments const& moments, Part part);

}  // namespace pikv::shards
