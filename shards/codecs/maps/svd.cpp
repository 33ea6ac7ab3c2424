#include "shards/codecs/maps/svd.hpp"

#include "shards/codecs/maps/matrix.hpp"

namespace pikv::shards {

FullMap svd_map(HeadMoments const& moments, Part part) {
  PartMoments const x = part_moments(moments, part);
  Eigenpairs const pairs = eigenpairs(x.covariance());
  return full_map(pairs.vectors.transpose(), pairs.vectors, x.mean, pairs.values.cwiseMax(0));
}

}  // namespace pikv::shards
