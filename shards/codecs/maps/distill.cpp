#include "shards/codecs/maps/distill.hpp"

#include <cmath>

#include "shards/codecs/maps/key_loss.hpp"
#include "shards/codecs/maps/lora_plus.hpp"

namespace pikv::shards {
namespace {

constexpr int steps = 200, steps_between_looks = 20;
constexpr double rate = 1e-3;

using Losses = std::vector<KeyLoss<float>>;

Losses losses_of(std::span<AttentionWindow const> windows, Matrix const& gram, Vector const& mean, std::int32_t exact) {
  Losses losses;
  for (AttentionWindow const& window : windows)
    for (std::size_t head = 0; head < window.q.size(); ++head) losses.emplace_back(window, head, gram, mean, exact);
  return losses;
}

double mean_loss(Losses const& losses, KeyFactors<float> const& factors) {
  double sum = 0;
  for (auto const& loss : losses) sum += loss(factors, nullptr);
  return sum / static_cast<double>(losses.size());
}

class Adam {   // arXiv 1412.6980
 public:
  explicit Adam(FloatMatrix const& like) : mean_{FloatMatrix::Zero(like.rows(), like.cols())}, square_{mean_} {}
  void step(FloatMatrix const& gradient, int number, FloatMatrix& x) {
    mean_ = .9f * mean_ + .1f * gradient;
    square_ = .999f * square_ + .001f * gradient.cwiseAbs2();
    float const m = static_cast<float>(1 - std::pow(.9, number)), s = static_cast<float>(1 - std::pow(.999, number));
    x.array() -= static_cast<float>(rate) * (mean_.array() / m) / ((square_.array() / s).sqrt() + 1e-8f);
  }

 private:
  FloatMatrix mean_, square_;
};

KeyFactors<float> factors_of(RankMap const& map) {
  return {FloatView{map.encode.data(), map.rank, map.head_dim}.transpose(), FloatView{map.decode.data(), map.head_dim, map.rank}};
}

RankMap map_of(KeyFactors<float> const& factors, RankMap map) {
  Eigen::Map<FloatMatrix>{map.encode.data(), map.rank, map.head_dim} = factors.encode.transpose();
  Eigen::Map<FloatMatrix>{map.decode.data(), map.head_dim, map.rank} = factors.decode;
  return map;
}

Vector mean_of(RankMap const& map) { return Eigen::Map<Eigen::VectorXf const>{map.mean.data(), map.head_dim}.cast<double>(); }

/// What attention sums of the tokens that are not exact, less their mean: rows x; and what |o|^2 is, by query.
struct Sums {
  Matrix x;
  Vector size;
};

Sums sums_of(std::span<AttentionWindow const> windows, Matrix const& gram, Vector const& mean, std::int32_t exact) {
  std::vector<Vector> x;
  std::vector<double> size;
  for (AttentionWindow const& window : windows)
    for (Matrix const& q : window.q) {
      Matrix const logits = q * window.k.transpose() / std::sqrt(static_cast<double>(q.cols()));
      for (Eigen::Index row = 0; row < q.rows(); ++row) {
        Eigen::Index const reads = window.positions[static_cast<std::size_t>(row)] + 1, whole = std::min<Eigen::Index>(exact, reads);
        Eigen::RowVectorXd p = (logits.row(row).head(reads).array() - logits.row(row).head(reads).maxCoeff()).exp();
        p /= p.sum();
        Vector const out = (p * window.v.topRows(reads)).transpose();
        x.push_back((p.tail(reads - whole) * (window.v.middleRows(whole, reads - whole).rowwise() - mean.transpose())).transpose());
        size.push_back(out.dot(gram * out));
      }
    }
  Sums sums{Matrix(static_cast<Eigen::Index>(x.size()), gram.cols()), Eigen::Map<Vector const>{size.data(), static_cast<Eigen::Index>(size.size())}};
  for (std::size_t row = 0; row < x.size(); ++row) sums.x.row(static_cast<Eigen::Index>(row)) = x[row];
  return sums;
}

double value_loss(Sums const& sums, Matrix const& gram, RankMap const& map) {
  auto const factors = factors_of(map);
  Matrix const wrong = sums.x - sums.x * (factors.encode * factors.decode.transpose()).cast<double>();
  return (wrong * gram).cwiseProduct(wrong).rowwise().sum().cwiseQuotient(sums.size).mean();
}

}  // namespace

RankMap distill_start(FullMap const& full, std::int32_t rank) {
  RankMap const map = map_of_rank(full, rank);
  KeyFactors<float> factors = factors_of(map);
  for (Eigen::Index i = 0; i < map.rank; ++i) {   // one rate for both: what reads a coordinate is of length 1
    float const norm = factors.decode.col(i).norm();
    if (norm == 0) continue;
    factors.decode.col(i) /= norm;
    factors.encode.col(i) *= norm;
  }
  return map_of(factors, map);
}

Distilled distill_keys(DistillSample const& sample, HeadMoments const& moments, RankMap const& start) {
  Matrix const gram = part_moments(moments, Part::values).weight;
  Losses const fit = losses_of(sample.fit, gram, mean_of(start), sample.exact), held_out = losses_of(sample.held_out, gram, mean_of(start), sample.exact);
  KeyFactors<float> factors = factors_of(start), gradient;
  double const before = mean_loss(held_out, factors);
  Distilled best{start, before, before};
  Adam encode{factors.encode}, decode{factors.decode};
  for (int step = 1; step <= steps; ++step) {
    (void)fit[static_cast<std::size_t>(step - 1) % fit.size()](factors, &gradient);
    encode.step(gradient.encode, step, factors.encode);
    decode.step(gradient.decode, step, factors.decode);
    if (step % steps_between_looks != 0) continue;
    if (double const loss = mean_loss(held_out, factors); loss < best.loss) best = {map_of(factors, start), before, loss};
  }
  return best;
}

Distilled distill_values(DistillSample const& sample, HeadMoments const& moments, RankMap const& start) {
  constexpr double share_of_tokens = .1;
  PartMoments const v = part_moments(moments, Part::values);
  Vector const mean = mean_of(start);
  Sums const fit = sums_of(sample.fit, v.weight, mean, sample.exact), held_out = sums_of(sample.held_out, v.weight, mean, sample.exact);
  Matrix const summed = fit.x.transpose() * fit.size.cwiseInverse().asDiagonal() * fit.x, tokens = v.covariance();
  Matrix const mixed = summed + share_of_tokens * summed.trace() / std::max(tokens.trace(), 1e-300) * tokens;
  HeadMoments seen = moments;   // 3.2's rule on other moments
  Matrix const second = mixed + mean * mean.transpose();
  seen.v_second.assign(second.data(), second.data() + second.size());
  seen.v_mean.assign(mean.begin(), mean.end());
  RankMap const map = distill_start(lora_plus_map(seen, Part::values), start.rank);
  double const before = value_loss(held_out, v.weight, start), after = value_loss(held_out, v.weight, map);
  return after < before ? Distilled{map, before, after} : Distilled{start, before, before};
}

}  // namespace pikv::shards
