#pragma once

#include "shards/codecs/moments.hpp"

namespace pikv::shards {

/// Principal components: top eigenvectors B of the covariance, encode = B^T, decode = B (methods 3.5). E|x - x^|^2 at rank r is the tail of the spectrum.
FullMap svd_map(HeadMoments const& moments, Part part);

}  // namespace pikv::shards
