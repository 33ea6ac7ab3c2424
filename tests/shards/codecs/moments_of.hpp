#pragma once

#include <Eigen/Core>
#include <random>
#include <vector>

#include "shards/codecs/moments.hpp"

namespace pikv::test {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

inline std::vector<double> list_of(Matrix const& matrix) { return {matrix.data(), matrix.data() + matrix.size()}; }

/// Moments of a head: rows of k, v, q are tokens (queries), `w` [d][anything] is the output projection.
inline shards::HeadMoments moments_of(Matrix const& k, Matrix const& v, Matrix const& q, Matrix const& w) {
  auto const second = [](Matrix const& x) { return list_of(x.transpose() * x / static_cast<double>(x.rows())); };
  shards::HeadMoments moments;
  moments.head_dim = static_cast<std::int32_t>(k.cols());
  moments.tokens = static_cast<double>(k.rows());
  moments.queries = static_cast<double>(q.rows());
  moments.k_mean = list_of(k.colwise().mean());
  moments.v_mean = list_of(v.colwise().mean());
  moments.k_second = second(k);
  moments.v_second = second(v);
  moments.q_second = second(q);
  moments.o_gram = list_of(w * w.transpose());
  return moments;
}

/// What a test of maps works on: rows of x, and rows of what multiplies them (queries, or columns of the output projection).
struct Problem {
  Matrix k, v, q, w;
  shards::HeadMoments moments() const { return moments_of(k, v, q, w); }
};

inline Matrix gaussian(Eigen::Index rows, Eigen::Index columns, unsigned seed) {
  std::mt19937 random{seed};
  std::normal_distribution<double> normal;
  return Matrix::NullaryExpr(rows, columns, [&] { return normal(random); });
}

/// Data (a) and (b) of methods 3.11: `planted` 0 is Gaussian, else that rank with a mean, and noise of .01; queries stretched along some channels.
inline Problem problem(Eigen::Index tokens, Eigen::Index d, Eigen::Index planted, unsigned seed) {
  auto const data = [&](unsigned salt) -> Matrix {
    if (planted == 0) return gaussian(tokens, d, seed + salt);
    Matrix x = gaussian(tokens, planted, seed + salt) * gaussian(planted, d, seed + salt + 1) + .01 * gaussian(tokens, d, seed + salt + 2);
    x.rowwise() += Eigen::RowVectorXd::LinSpaced(d, -1, 1);
    return x;
  };
  Matrix q = gaussian(4 * tokens, d, seed + 100);
  for (Eigen::Index channel = 0; channel < d; ++channel) q.col(channel) *= 1 + static_cast<double>(channel % 5);
  return {data(0), data(10), q, gaussian(d, 3 * d, seed + 200)};
}

/// x as a map of one rank keeps it, computed token by token.
inline Matrix kept_by(shards::RankMap const& map, Matrix const& x) {
  using Floats = Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> const>;
  Matrix const encode = Floats{map.encode.data(), map.rank, map.head_dim}.cast<double>(), decode = Floats{map.decode.data(), map.head_dim, map.rank}.cast<double>();
  Eigen::RowVectorXd const mean = Eigen::Map<Eigen::RowVectorXf const>{map.mean.data(), map.head_dim}.cast<double>();
  Matrix kept(x.rows(), x.cols());
  for (Eigen::Index row = 0; row < x.rows(); ++row) {
    Eigen::VectorXd const c = encode * (x.row(row) - mean).transpose();
    kept.row(row) = (decode * c).transpose() + mean;
  }
  return kept;
}

}  // namespace pikv::test
