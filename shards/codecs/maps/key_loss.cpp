#include "shards/codecs/maps/key_loss.hpp"

#include <cmath>

namespace pikv::shards {
namespace {

/// Each row's softmax over the tokens it reads, 0 past them.
template <typename Real>
MatrixOf<Real> softmax(MatrixOf<Real> const& logits, std::vector<Eigen::Index> const& reads) {
  MatrixOf<Real> all = MatrixOf<Real>::Zero(logits.rows(), logits.cols());
  for (Eigen::Index row = 0; row < logits.rows(); ++row) {
    auto const read = logits.row(row).head(reads[static_cast<std::size_t>(row)]);
    auto into = all.row(row).head(read.size());
    into = (read.array() - read.maxCoeff()).exp();
    into /= into.sum();
  }
  return all;
}

}  // namespace

template <typename Real>
KeyLoss<Real>::KeyLoss(AttentionWindow const& window, std::size_t query_head, Matrix const& gram, Vector const& mean, std::int32_t exact)
    : exact_{std::min<Eigen::Index>(exact, window.k.rows())},
      scale_{static_cast<Real>(1 / std::sqrt(static_cast<double>(window.k.cols())))},
      keys_{(window.k.rowwise() - mean.transpose()).template cast<Real>()},
      values_{window.v.template cast<Real>()},
      q_{window.q[query_head].template cast<Real>()},
      gram_{gram.template cast<Real>()},
      q_mean_{(window.q[query_head] * mean).template cast<Real>()} {
  for (std::int32_t const position : window.positions) reads_.push_back(position + 1);
  logits_ = scale_ * q_ * keys_.transpose();
  logits_.colwise() += scale_ * q_mean_;
  probability_ = softmax<Real>(logits_, reads_);
  out_ = probability_ * values_;
  size_ = (out_ * gram_).cwiseProduct(out_).rowwise().sum();
}

template <typename Real>
double KeyLoss<Real>::operator()(KeyFactors<Real> const& factors, KeyFactors<Real>* gradient) const {
  Mat const codes = keys_ * factors.encode, q_codes = q_ * factors.decode;
  Mat logits = scale_ * q_codes * codes.transpose();
  logits.colwise() += scale_ * q_mean_;
  logits.leftCols(exact_) = logits_.leftCols(exact_);
  Mat const probability = softmax<Real>(logits, reads_);
  Mat const wrong = probability * values_ - out_, weighed = wrong * gram_;
  double loss = 0;
  Real const rows = static_cast<Real>(q_.rows());
  for (Eigen::Index row = 0; row < q_.rows(); ++row) {
    for (Eigen::Index token = 0; token < reads_[static_cast<std::size_t>(row)]; ++token)
      if (double const p = static_cast<double>(probability_(row, token)); p > 0)
        loss += p * std::log(p / std::max(static_cast<double>(probability(row, token)), 1e-300));
    loss += static_cast<double>(weighed.row(row).dot(wrong.row(row))) / static_cast<double>(size_(row));
  }
  if (gradient != nullptr) {
    Mat const pull = size_.cwiseInverse().asDiagonal() * (2 * weighed);   // of o^
    Mat slope = pull * values_.transpose();                              // g.v_t
    Eigen::Matrix<Real, Eigen::Dynamic, 1> const at_out = pull.cwiseProduct(wrong + out_).rowwise().sum();
    slope.colwise() -= at_out;
    slope = probability.cwiseProduct(slope) + probability - probability_;
    slope.leftCols(exact_).setZero();
    slope *= scale_ / rows;
    gradient->decode = q_.transpose() * (slope * codes);
    gradient->encode = keys_.transpose() * (slope.transpose() * q_codes);
  }
  return loss / static_cast<double>(rows);
}

template class KeyLoss<float>;
template class KeyLoss<double>;

}  // namespace pikv::shards
