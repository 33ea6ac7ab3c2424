#include "shards/codecs/maps/prune.hpp"

#include <algorithm>
#include <numeric>

#include "shards/codecs/maps/matrix.hpp"

namespace pikv::shards {

FullMap prune_map(HeadMoments const& moments, Part part) {
  PartMoments const x = part_moments(moments, part);
  Eigen::Index const d = moments.head_dim;
  Vector const score = x.second.diagonal().cwiseProduct(x.weight.diagonal());
  std::vector<Eigen::Index> channels(static_cast<std::size_t>(d));
  std::iota(channels.begin(), channels.end(), Eigen::Index{0});
  std::ranges::stable_sort(channels, [&](Eigen::Index a, Eigen::Index b) { return score(a) > score(b); });
  Matrix encode = Matrix::Zero(d, d);
  Vector spectrum(d);
  for (Eigen::Index i = 0; i < d; ++i) {
    encode(i, channels[static_cast<std::size_t>(i)]) = 1;
    spectrum(i) = score(channels[static_cast<std::size_t>(i)]);
  }
  return full_map(encode, encode.transpose(), Vector::Zero(d), spectrum);
}

}  // namespace pikv::shards
