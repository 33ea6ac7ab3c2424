#pragma once

#include <Eigen/Core>
#include <vector>

#include "shards/codecs/moments.hpp"

namespace pikv::shards {

/// What the maps are made with, fp64.
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;
using FloatMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using FloatView = Eigen::Map<FloatMatrix const>;

/// A row-major [rows][columns] in a vector, seen as a matrix.
inline Eigen::Map<Matrix const> matrix_view(std::vector<double> const& values, Eigen::Index rows, Eigen::Index columns) {
  return {values.data(), rows, columns};
}

/// Of a symmetric matrix: values descending, vectors in columns, the largest component of each positive, so that they are always the same ones.
struct Eigenpairs {
  Vector values;
  Matrix vectors;
};
Eigenpairs eigenpairs(Matrix const& symmetric);

/// Moments of one part: mean, E[x x^T], and what an error of x weighs (E[q q^T] of keys, W_o W_o^T of values).
struct PartMoments {
  Vector mean;
  Matrix second, weight;
  Matrix covariance() const { return second - mean * mean.transpose(); }
};
PartMoments part_moments(HeadMoments const& moments, Part part);

/// As fp32.
FullMap full_map(Matrix const& encode, Matrix const& decode, Vector const& mean, Vector const& spectrum);

}  // namespace pikv::shards
