#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <vector>

#include "shards/codecs/maps/attention_sample.hpp"

namespace pikv::shards {

template <typename Real>
using MatrixOf = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Encoder A [d][r] and decoder B [d][r] of keys: k ~ mean + B A^T (k - mean). Or their gradients.
template <typename Real>
struct KeyFactors {
  MatrixOf<Real> encode, decode;
};

/// What attention loses by the factors, over the queries of one head in one window, and its gradient (methods 3.7): mean over queries of
/// KL(P || P^) + |o - o^|^2 / |o|^2, both norms weighted by `gram` (W_o W_o^T), o^ with exact values, so that keys and values can be chosen apart.
/// The first `exact` tokens are read as they are. dL/ds_t = (P^_t - P_t) + P^_t g.(v_t - o^), g = 2 gram (o^ - o) / |o|^2; dL/dB = sum_t dL/ds_t q (A^T(k_t - mean))^T / sqrt(d),
/// dL/dA = sum_t dL/ds_t (k_t - mean) (B^T q)^T / sqrt(d).
template <typename Real>
class KeyLoss {
 public:
  KeyLoss(AttentionWindow const& window, std::size_t query_head, Matrix const& gram, Vector const& mean, std::int32_t exact);

  /// gradient: null, or set.
  double operator()(KeyFactors<Real> const& factors, KeyFactors<Real>* gradient) const;

 private:
  using Mat = MatrixOf<Real>;

  Eigen::Index exact_;
  Real scale_;
  std::vector<Eigen::Index> reads_;   // tokens of each query
  Mat keys_, values_, q_, gram_;      // keys less the mean
  Eigen::Matrix<Real, Eigen::Dynamic, 1> q_mean_, size_;   // q.mean; |o|^2
  Mat logits_, probability_, out_;    // exact: [n][tokens], 0 past what is read
};

extern template class KeyLoss<float>;
extern template class KeyLoss<double>;

}  // namespace pikv::shards
