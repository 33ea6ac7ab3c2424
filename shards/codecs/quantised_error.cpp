#include "shards/codecs/quantised_error.hpp"

#include <algorithm>
#include <cmath>

namespace pikv::shards {
namespace {

constexpr Eigen::Index group = 32;

/// A group of numbers, and what codes make of them wrong.
template <typename Block>
void to_code_error(Block block, int bits) {
  double const low = block.minCoeff(), step = (block.maxCoeff() - low) / (std::exp2(bits) - 1);
  if (step == 0) {
    block.setZero();
    return;
  }
  block = block.unaryExpr([&](double x) { return x - (low + step * std::nearbyint((x - low) / step)); });
}

Matrix code_error(Matrix codes, Part part, int bits) {
  if (part == Part::keys) {
    for (Eigen::Index token = 0; token < codes.rows(); token += group)
      for (Eigen::Index i = 0; i < codes.cols(); ++i) to_code_error(codes.col(i).segment(token, std::min(group, codes.rows() - token)), bits);
  } else {
    for (Eigen::Index token = 0; token < codes.rows(); ++token)
      for (Eigen::Index i = 0; i < codes.cols(); i += group) to_code_error(codes.row(token).segment(i, std::min(group, codes.cols() - i)), bits);
  }
  return codes;
}

}  // namespace

FullMap identity_map(std::int32_t head_dim) {
  Matrix const identity = Matrix::Identity(head_dim, head_dim);
  return full_map(identity, identity, Vector::Zero(head_dim), Vector::Zero(head_dim));
}

std::vector<MapError> code_errors(FullMap const& map, Matrix const& x, Matrix const& weight, Part part, int bits, std::span<std::int32_t const> ranks) {
  Eigen::Index const d = map.head_dim;
  Matrix const decode = FloatView{map.decode.data(), d, d}.cast<double>(), plain = decode.transpose() * decode, weighed = decode.transpose() * weight * decode;
  Eigen::RowVectorXd const mean = Eigen::Map<Eigen::RowVectorXf const>{map.mean.data(), d}.cast<double>();
  Matrix const codes = (x.rowwise() - mean) * FloatView{map.encode.data(), d, d}.cast<double>().transpose();
  std::vector<MapError> errors;
  for (std::int32_t const rank : ranks) {
    Matrix const wrong = code_error(codes.leftCols(rank), part, bits);
    Matrix const gram = wrong.transpose() * wrong / static_cast<double>(x.rows());
    auto const of = [&](Matrix const& metric) { return gram.cwiseProduct(metric.topLeftCorner(rank, rank)).sum(); };
    errors.push_back({of(plain), of(weighed)});
  }
  return errors;
}

}  // namespace pikv::shards
