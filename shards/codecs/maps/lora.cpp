#include "shards/codecs/maps/lora.hpp"

#include "shards/codecs/maps/matrix.hpp"

namespace pikv::shards {

FullMap lora_map(HeadMoments const& moments, Part part) {
  Eigenpairs const pairs = eigenpairs(part_moments(moments, part).second);
  return full_map(pairs.vectors.transpose(), pairs.vectors, Vector::Zero(moments.head_dim), pairs.values.cwiseMax(0));
}

}  // namespace pikv::shards
