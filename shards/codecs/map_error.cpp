#include "shards/codecs/map_error.hpp"

#include <algorithm>

#include "shards/codecs/maps/matrix.hpp"

namespace pikv::shards {
namespace {

double trace_of_product(Matrix const& a, Matrix const& b) { return a.cwiseProduct(b.transpose()).sum(); }

}  // namespace

MapError size_of_part(HeadMoments const& moments, Part part) {
  PartMoments const x = part_moments(moments, part);
  return {x.second.trace(), trace_of_product(x.weight, x.second)};
}

MapError map_error(RankMap const& map, HeadMoments const& moments, Part part) {
  PartMoments const x = part_moments(moments, part);
  Eigen::Index const d = map.head_dim, r = map.rank;
  Vector const mean = Eigen::Map<Eigen::VectorXf const>{map.mean.data(), d}.cast<double>();
  Matrix const around = x.second - mean * x.mean.transpose() - x.mean * mean.transpose() + mean * mean.transpose();
  Matrix const lost = Matrix::Identity(d, d) - FloatView{map.decode.data(), d, r}.cast<double>() * FloatView{map.encode.data(), r, d}.cast<double>();
  Matrix const error = lost * around * lost.transpose();
  return {std::max(error.trace(), 0.0), std::max(trace_of_product(x.weight, error), 0.0)};
}

std::vector<std::int32_t> rank_steps(std::int32_t head_dim) {
  std::vector<std::int32_t> ranks;
  for (std::int32_t rank = 8; rank < head_dim; rank += 8) ranks.push_back(rank);
  ranks.push_back(head_dim);
  return ranks;
}

}  // namespace pikv::shards
