#include "shards/codecs/maps/rotate.hpp"

#include <bit>
#include <cmath>

#include "shards/codecs/maps/matrix.hpp"

namespace pikv::shards {

FullMap rotation_map(std::int32_t head_dim) {
  std::int32_t const block = head_dim & -head_dim;
  Matrix matrix = Matrix::Zero(head_dim, head_dim);
  for (std::int32_t i = 0; i < head_dim; ++i)
    for (std::int32_t j = i / block * block; j < (i / block + 1) * block; ++j)
      matrix(i, j) = (std::popcount(static_cast<std::uint32_t>(i & j & (block - 1))) % 2 == 0 ? 1 : -1) / std::sqrt(block);
  return full_map(matrix, matrix, Vector::Zero(head_dim), Vector::Zero(head_dim));
}

}  // namespace pikv::shards
