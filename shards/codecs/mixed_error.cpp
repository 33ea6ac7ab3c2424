#include "shards/codecs/mixed_error.hpp"

#include <algorithm>

#include "kernels/coded.hpp"
#include "shards/codecs/map_view.hpp"

namespace pikv::shards {

MapError mixed_error(RankMap const& map, std::vector<std::uint8_t> const& bits, Matrix const& x, Matrix const& weight, Part part) {
  constexpr std::int32_t tokens = 32;
  kernels::PageLayout const page{kernels::DType::f32, 1, tokens, map.head_dim};
  kernels::LinearMap const view = view_of(map);
  kernels::PartSpec const mixed{kernels::Element::mixed, std::span{&view, 1}, 0, std::span{&bits, 1}}, plain{kernels::Element::f32, {}, 0, {}};
  bool const keys = part == Part::keys;
  kernels::CodedShape const shape{page, keys ? mixed : plain, keys ? plain : mixed};
  std::vector<float> numbers(page.bytes() / sizeof(float));   // of a page: keys, then values
  std::vector<std::byte> coded(shape.layout().bytes);
  kernels::PoolView const pool{reinterpret_cast<std::byte*>(numbers.data()), page.bytes(), page};
  Eigen::Map<FloatMatrix> stored{numbers.data() + (keys ? 0 : numbers.size() / 2), tokens, map.head_dim};
  Matrix gram = Matrix::Zero(map.head_dim, map.head_dim);
  for (Eigen::Index first = 0; first < x.rows(); first += tokens) {
    Eigen::Index const here = std::min<Eigen::Index>(tokens, x.rows() - first);
    stored.rowwise() = x.row(x.rows() - 1).cast<float>();
    stored.topRows(here) = x.middleRows(first, here).cast<float>();
    kernels::host::encode_page(pool, 0, shape.layout(), coded.data());
    kernels::host::decode_page(shape.layout(), coded.data(), pool, 0);
    Matrix const wrong = x.middleRows(first, here) - stored.topRows(here).cast<double>();
    gram.noalias() += wrong.transpose() * wrong / static_cast<double>(x.rows());
  }
  return {gram.trace(), gram.cwiseProduct(weight).sum()};
}

}  // namespace pikv::shards
