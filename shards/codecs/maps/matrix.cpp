#include "shards/codecs/maps/matrix.hpp"

#include <Eigen/Eigenvalues>

namespace pikv::shards {
namespace {

std::vector<float> floats_of(Matrix const& matrix) {
  std::vector<float> values;
  for (double const value : matrix.reshaped<Eigen::RowMajor>()) values.push_back(static_cast<float>(value));
  return values;
}

}  // namespace

Eigenpairs eigenpairs(Matrix const& symmetric) {
  Eigen::SelfAdjointEigenSolver<Matrix> const solver{symmetric};
  Eigenpairs pairs{solver.eigenvalues().reverse(), solver.eigenvectors().rowwise().reverse()};
  for (auto column : pairs.vectors.colwise()) {
    Eigen::Index largest = 0;
    column.cwiseAbs().maxCoeff(&largest);
    if (column(largest) < 0) column = -column;
  }
  return pairs;
}

PartMoments part_moments(HeadMoments const& moments, Part part) {
  Eigen::Index const d = moments.head_dim;
  bool const keys = part == Part::keys;
  auto const& mean = keys ? moments.k_mean : moments.v_mean;
  return {Eigen::Map<Vector const>{mean.data(), d}, matrix_view(keys ? moments.k_second : moments.v_second, d, d),
          matrix_view(keys ? moments.q_second : moments.o_gram, d, d)};
}

FullMap full_map(Matrix const& encode, Matrix const& decode, Vector const& mean, Vector const& spectrum) {
  return {static_cast<std::int32_t>(mean.size()), floats_of(encode), floats_of(decode), floats_of(mean), {spectrum.begin(), spectrum.end()}};
}

}  // namespace pikv::shards
