#include "shards/codecs/map_view.hpp"

#include "shards/codecs/maps/matrix.hpp"

namespace pikv::shards {
namespace {

bool is_orthonormal(RankMap const& map) {
  constexpr float rounding = 1e-5f;   // of matrices made in fp64 and kept as fp32: a tenth of what a page's stored error allows for
  FloatView const encode{map.encode.data(), map.rank, map.head_dim}, decode{map.decode.data(), map.head_dim, map.rank};
  if (map.rank > map.head_dim || encode != decode.transpose()) return false;
  return ((encode * decode).eval() - FloatMatrix::Identity(map.rank, map.rank)).norm() <= rounding;
}

}  // namespace

kernels::LinearMap view_of(RankMap const& map) {
  return {map.rank, map.encode.data(), map.decode.data(), map.mean.data(), is_orthonormal(map), map.feedback.empty() ? nullptr : map.feedback.data()};
}

}  // namespace pikv::shards
