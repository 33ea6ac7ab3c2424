#include "shards/codecs/maps/distill.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "shards/codecs/maps/key_loss.hpp"
#include "shards/codecs/maps/lora_plus.hpp"
#include "tests/shards/codecs/moments_of.hpp"

namespace pikv::test {
namespace {

using shards::AttentionWindow;
using shards::Distilled;
using shards::KeyFactors;
using shards::KeyLoss;
using shards::Part;

constexpr std::int32_t exact = 4;

/// Two kinds of tokens, told apart by the last channel. Queries pass by the one kind, which varies most, so that what is least in error over all
/// tokens is not what attention needs. The other channels of the kind that is read are its last third.
AttentionWindow window_of(Eigen::Index tokens, Eigen::Index d, unsigned seed) {
  AttentionWindow window{gaussian(tokens, d, seed), gaussian(tokens, d, seed + 1), {}, {}};
  Eigen::Index const passed = 2 * d / 3;
  for (Eigen::Index token = 0; token < tokens; ++token) {
    bool const read = token % 2 == 0;
    window.k.row(token).head(passed) *= read ? .1 : 2;
    window.k.row(token).tail(d - passed) *= read ? 1.5 : .1;
    window.k(token, d - 1) = read ? 2 : -2;
  }
  for (std::int32_t position = 7; position < tokens; position += 8) window.positions.push_back(position);
  auto const n = static_cast<Eigen::Index>(window.positions.size());
  for (unsigned head = 0; head < 2; ++head) {
    window.q.push_back(gaussian(n, d, seed + 2 + head));
    window.q.back().col(d - 1).setConstant(8);
  }
  return window;
}

struct Sample {
  explicit Sample(Eigen::Index d) {
    for (unsigned i = 0; i < 4; ++i) fit.push_back(window_of(96, d, 10 * i));
    for (unsigned i = 0; i < 2; ++i) held_out.push_back(window_of(96, d, 1000 + 10 * i));
    Matrix k(0, d), v(0, d), q(0, d);
    auto const add = [](Matrix& all, Matrix const& more) {
      all.conservativeResize(all.rows() + more.rows(), Eigen::NoChange);
      all.bottomRows(more.rows()) = more;
    };
    for (AttentionWindow const& window : fit) {
      add(k, window.k);
      add(v, window.v);
      for (Matrix const& of_head : window.q) add(q, of_head);
    }
    moments = moments_of(k, v, q, gaussian(d, 2 * d, 5));
  }
  shards::DistillSample of() const { return {fit, held_out, exact}; }
  std::vector<AttentionWindow> fit, held_out;
  shards::HeadMoments moments;
};

KeyFactors<double> factors_of(shards::RankMap const& map) {
  using Floats = Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> const>;
  return {Floats{map.encode.data(), map.rank, map.head_dim}.cast<double>().transpose(), Floats{map.decode.data(), map.head_dim, map.rank}.cast<double>()};
}

/// The loss as its definition reads, query by query.
double plain_loss(AttentionWindow const& window, std::size_t head, Matrix const& gram, Eigen::VectorXd const& mean, KeyFactors<double> const& factors) {
  double sum = 0;
  for (std::size_t i = 0; i < window.positions.size(); ++i) {
    Eigen::VectorXd const q = window.q[head].row(static_cast<Eigen::Index>(i)).transpose();
    Eigen::Index const reads = window.positions[i] + 1, d = q.size();
    Eigen::VectorXd p(reads), kept(reads);
    for (Eigen::Index t = 0; t < reads; ++t) {
      Eigen::VectorXd const k = window.k.row(t).transpose();
      Eigen::VectorXd const stored = t < exact ? k : Eigen::VectorXd{mean + factors.decode * (factors.encode.transpose() * (k - mean))};
      p(t) = std::exp(q.dot(k) / std::sqrt(static_cast<double>(d)));
      kept(t) = std::exp(q.dot(stored) / std::sqrt(static_cast<double>(d)));
    }
    p /= p.sum();
    kept /= kept.sum();
    Eigen::VectorXd const o = window.v.topRows(reads).transpose() * p, wrong = window.v.topRows(reads).transpose() * kept - o;
    sum += (p.array() * (p.array() / kept.array()).log()).sum() + wrong.dot(gram * wrong) / o.dot(gram * o);
  }
  return sum / static_cast<double>(window.positions.size());
}

struct KeyLossTest : ::testing::Test {
  Sample sample{16};
  Matrix gram = Eigen::Map<Matrix const>{sample.moments.o_gram.data(), 16, 16};
  Eigen::VectorXd mean = Eigen::Map<Eigen::VectorXd const>{sample.moments.k_mean.data(), 16};
  shards::FullMap full = shards::lora_plus_map(sample.moments, Part::keys);
  KeyFactors<double> factors = factors_of(shards::distill_start(full, 8));
};

TEST_F(KeyLossTest, IsWhatItsDefinitionSays) {
  for (std::size_t head : {0u, 1u})
    EXPECT_NEAR((KeyLoss<double>{sample.fit[0], head, gram, mean, exact}(factors, nullptr)), plain_loss(sample.fit[0], head, gram, mean, factors), 1e-9);
}

TEST_F(KeyLossTest, ItsGradientIsThatOfFiniteDifferences) {
  KeyLoss<double> const loss{sample.fit[1], 1, gram, mean, exact};
  KeyFactors<double> gradient;
  (void)loss(factors, &gradient);
  constexpr double h = 1e-5;
  for (Matrix KeyFactors<double>::*const member : {&KeyFactors<double>::encode, &KeyFactors<double>::decode})
    for (Eigen::Index i = 0; i < 16 * 8; i += 7) {
      KeyFactors<double> up = factors, down = factors;
      (up.*member)(i / 8, i % 8) += h;
      (down.*member)(i / 8, i % 8) -= h;
      double const difference = (loss(up, nullptr) - loss(down, nullptr)) / (2 * h);
      EXPECT_NEAR((gradient.*member)(i / 8, i % 8), difference, 1e-6 + 1e-4 * std::abs(difference));
    }
}

TEST_F(KeyLossTest, OfAllCoordinatesIsNothing) {
  KeyFactors<double> const whole = factors_of(shards::distill_start(full, 16));
  KeyFactors<double> gradient;
  EXPECT_NEAR((KeyLoss<double>{sample.fit[0], 0, gram, mean, exact}(whole, &gradient)), 0, 1e-9);
  EXPECT_LT(gradient.encode.norm() + gradient.decode.norm(), 1e-4);
}

TEST(Distill, KeysLoseLessOfAttentionThanTheirStart) {
  Sample const sample{16};
  shards::RankMap const start = shards::distill_start(shards::lora_plus_map(sample.moments, Part::keys), 8);
  Distilled const distilled = shards::distill_keys(sample.of(), sample.moments, start);
  EXPECT_LT(distilled.loss, .9 * distilled.loss_before);
  Matrix const gram = Eigen::Map<Matrix const>{sample.moments.o_gram.data(), 16, 16};
  Eigen::VectorXd const mean = Eigen::Map<Eigen::VectorXd const>{sample.moments.k_mean.data(), 16};
  double loss = 0;
  for (AttentionWindow const& window : sample.held_out)
    for (std::size_t head : {0u, 1u}) loss += plain_loss(window, head, gram, mean, factors_of(distilled.map)) / 4;
  EXPECT_NEAR(loss, distilled.loss, 1e-4) << "the loss that is reported is the map's";
}

TEST(Distill, ValuesLoseNoMoreOfOutputsThanTheirStart) {
  Sample const sample{16};
  for (std::int32_t const rank : {8, 16}) {
    shards::RankMap const start = shards::distill_start(shards::lora_plus_map(sample.moments, Part::values), rank);
    Distilled const distilled = shards::distill_values(sample.of(), sample.moments, start);
    EXPECT_LE(distilled.loss, distilled.loss_before);
    EXPECT_GE(distilled.loss, 0);
  }
}

TEST(Distill, OfAllCoordinatesStaysWithoutLoss) {
  Sample const sample{16};
  for (Part const part : {Part::keys, Part::values}) {
    shards::RankMap const start = shards::distill_start(shards::lora_plus_map(sample.moments, part), 16);
    Distilled const distilled = part == Part::keys ? shards::distill_keys(sample.of(), sample.moments, start) : shards::distill_values(sample.of(), sample.moments, start);
    EXPECT_LT(distilled.loss, 1e-6);
    Matrix const& x = part == Part::keys ? sample.fit[0].k : sample.fit[0].v;
    EXPECT_LT((kept_by(distilled.map, x) - x).norm(), 1e-3 * x.norm());
  }
}

TEST(DistillStart, IsTheSameMap) {
  Sample const sample{16};
  shards::FullMap const full = shards::lora_plus_map(sample.moments, Part::keys);
  Matrix const& x = sample.fit[0].k;
  EXPECT_LT((kept_by(shards::distill_start(full, 8), x) - kept_by(shards::map_of_rank(full, 8), x)).norm(), 1e-5 * x.norm());
}

}  // namespace
}  // namespace pikv::test
