#include "kernels/own_basis.hpp"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <cstring>

namespace pikv::kernels {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Matrix as_matrix(float const* x, Eigen::Index rows, Eigen::Index columns) {
  using Floats = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  return Eigen::Map<Floats const>(x, rows, columns).cast<double>();
}

}  // namespace

void store_own_basis(float const* vectors, std::int32_t tokens, std::int32_t head_dim, std::int32_t rank, std::byte* at) {
  Matrix x = as_matrix(vectors, tokens, head_dim);
  Eigen::RowVectorXf const mean = x.colwise().mean().cast<float>();
  x.rowwise() -= mean.cast<double>();
  Eigen::SelfAdjointEigenSolver<Matrix> const found{x.transpose() * x};   // ascending
  double const negligible = 1e-14 * found.eigenvalues()[head_dim - 1];
  std::vector<float> scale(rank, 0.0f);
  std::vector<std::int8_t> basis(static_cast<std::size_t>(head_dim) * rank, 0);
  for (std::int32_t j = 0; j < rank && j < head_dim && found.eigenvalues()[head_dim - 1 - j] > negligible; ++j) {
    Eigen::VectorXd const component = found.eigenvectors().col(head_dim - 1 - j);
    scale[j] = static_cast<float>(component.cwiseAbs().maxCoeff() / 127);
    for (std::int32_t i = 0; i < head_dim; ++i)
      basis[static_cast<std::size_t>(j) * head_dim + i] = static_cast<std::int8_t>(std::clamp(std::nearbyint(component[i] / scale[j]), -127.0, 127.0));
  }
  std::memcpy(at, mean.data(), sizeof(float) * head_dim);
  std::memcpy(at + sizeof(float) * head_dim, scale.data(), sizeof(float) * rank);
  std::memcpy(at + sizeof(float) * (static_cast<std::size_t>(head_dim) + rank), basis.data(), basis.size());
}

OwnBasis load_own_basis(std::byte const* at, std::int32_t head_dim, std::int32_t rank) {
  OwnBasis own{std::vector<float>(static_cast<std::size_t>(head_dim) * rank), std::vector<float>(head_dim)};
  std::vector<float> scale(rank);
  std::memcpy(own.mean.data(), at, sizeof(float) * head_dim);
  std::memcpy(scale.data(), at + sizeof(float) * head_dim, sizeof(float) * rank);
  std::byte const* const basis = at + sizeof(float) * (static_cast<std::size_t>(head_dim) + rank);
  for (std::int32_t j = 0; j < rank; ++j)
    for (std::int32_t i = 0; i < head_dim; ++i)
      own.decode[static_cast<std::size_t>(i) * rank + j] =
          scale[j] * static_cast<float>(static_cast<std::int8_t>(basis[static_cast<std::size_t>(j) * head_dim + i]));
  return own;
}

void coordinates(OwnBasis const& basis, float const* vectors, std::int32_t tokens, std::int32_t head_dim, std::int32_t rank, std::int32_t width,
                 float* numbers) {
  Matrix x = as_matrix(vectors, tokens, head_dim);
  x.rowwise() -= as_matrix(basis.mean.data(), 1, head_dim).row(0);
  Matrix const decode = as_matrix(basis.decode.data(), head_dim, rank);
  Matrix normal = decode.transpose() * decode;   // nearly the identity: what is stored of a basis is nearly orthonormal
  for (std::int32_t j = 0; j < rank; ++j)
    if (normal(j, j) == 0) normal(j, j) = 1;   // a component that the page does not have
  Matrix const found = normal.llt().solve(decode.transpose() * x.transpose());
  std::fill_n(numbers, static_cast<std::size_t>(tokens) * width, 0.0f);
  for (std::int32_t t = 0; t < tokens; ++t)
    for (std::int32_t j = 0; j < rank; ++j) numbers[static_cast<std::size_t>(t) * width + j] = static_cast<float>(found(j, t));
}

}  // namespace pikv::kernels
