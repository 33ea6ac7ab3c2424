#include "shards/codecs/maps/lora_plus.hpp"

#include <cmath>
#include <limits>

#include "shards/codecs/maps/matrix.hpp"

namespace pikv::shards {

FullMap lora_plus_map(HeadMoments const& moments, Part part, double ridge) {
  PartMoments const x = part_moments(moments, part);
  Eigen::Index const d = moments.head_dim;
  Eigenpairs const w = eigenpairs(x.weight);
  double const lift = ridge * x.weight.trace() / static_cast<double>(d);
  double const least = std::max(w.values(0) * 1e-14, std::numeric_limits<double>::min());   // a weight of rank below d, and no ridge
  Vector const root = (w.values.array() + lift).max(least).sqrt();
  Matrix const omega = w.vectors * root.asDiagonal() * w.vectors.transpose();
  Matrix const inverse = w.vectors * root.cwiseInverse().asDiagonal() * w.vectors.transpose();
  Eigenpairs const pairs = eigenpairs(omega * x.covariance() * omega);
  return full_map(pairs.vectors.transpose() * omega, inverse * pairs.vectors, x.mean, pairs.values.cwiseMax(0));
}

FullMap lora_plus_map(HeadMoments const& moments, Part part) { return lora_plus_map(moments, part, default_ridge); }

}  // namespace pikv::shards
