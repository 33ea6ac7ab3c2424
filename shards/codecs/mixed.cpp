#include "shards/codecs/mixed.hpp"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/coded.hpp"
#include "shards/codecs/maps/matrix.hpp"

namespace pikv::shards {
namespace {

constexpr std::int32_t strip = kernels::strip_numbers, least = kernels::least_strip_bits, most = kernels::most_strip_bits;

Matrix decode_of(RankMap const& map) { return FloatView{map.decode.data(), map.head_dim, map.rank}.cast<double>(); }

double error_of(int bits) { return 1 / (std::exp2(bits) - 1) / (std::exp2(bits) - 1); }

}  // namespace

std::vector<double> key_weights(RankMap const& map, HeadMoments const& moments) {
  PartMoments const keys = part_moments(moments, Part::keys);
  Matrix const encode = FloatView{map.encode.data(), map.rank, map.head_dim}.cast<double>(), decode = decode_of(map);
  Vector const spread = (encode * keys.covariance()).cwiseProduct(encode).rowwise().sum();
  Vector const counts = (decode.transpose() * keys.weight).cwiseProduct(decode.transpose()).rowwise().sum();
  Vector const weights = spread.cwiseProduct(counts);
  return {weights.begin(), weights.end()};
}

void sort_numbers(RankMap& map, std::vector<double>& weights) {
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return weights[a] > weights[b]; });
  RankMap const was = map;
  std::vector<double> const were = weights;
  auto const d = static_cast<std::size_t>(map.head_dim), rank = static_cast<std::size_t>(map.rank);
  for (std::size_t j = 0; j < rank; ++j) {
    weights[j] = were[order[j]];
    for (std::size_t i = 0; i < d; ++i) {
      map.encode[j * d + i] = was.encode[order[j] * d + i];
      map.decode[i * rank + j] = was.decode[i * rank + order[j]];
    }
  }
}

std::vector<float> key_feedback(RankMap const& map, HeadMoments const& moments) {
  constexpr double damping = .01;
  Eigen::Index const rank = map.rank;
  Matrix const decode = decode_of(map);
  Matrix weight = decode.transpose() * part_moments(moments, Part::keys).weight * decode;
  double const mean = weight.diagonal().mean();
  weight.diagonal().array() += mean > 0 ? damping * mean : 1;   // queries that are all 0 weigh nothing
  Matrix const factor = Eigen::LLT<Matrix>{weight.llt().solve(Matrix::Identity(rank, rank))}.matrixU();
  std::vector<float> feedback(static_cast<std::size_t>(rank * rank), 0.0f);
  for (Eigen::Index i = 0; i < rank; ++i)
    for (Eigen::Index j = i + 1; j < rank; ++j) feedback[static_cast<std::size_t>(i * rank + j)] = static_cast<float>(-factor(i, j) / factor(i, i));
  return feedback;
}

std::vector<std::vector<std::uint8_t>> key_bits(std::span<std::vector<double> const> weights, double mean) {
  std::vector<std::vector<std::uint8_t>> bits;
  std::int64_t strips = 0;
  for (std::vector<double> const& head : weights) {
    bits.emplace_back(head.size() / strip, static_cast<std::uint8_t>(least));
    strips += std::ssize(bits.back());
  }
  auto const gain = [&](std::size_t head, std::size_t of) {
    double const weight = std::accumulate(weights[head].begin() + static_cast<std::ptrdiff_t>(of * strip), weights[head].begin() + static_cast<std::ptrdiff_t>((of + 1) * strip), 0.0);
    return weight * (error_of(bits[head][of]) - error_of(bits[head][of] + 1));
  };
  for (auto left = static_cast<std::int64_t>(std::floor(mean * static_cast<double>(strips) + 1e-9)) - least * strips; left > 0; --left) {
    std::uint8_t* best = nullptr;
    double best_gain = -1;
    for (std::size_t head = 0; head < bits.size(); ++head)
      for (std::size_t of = 0; of < bits[head].size(); ++of)
        if (bits[head][of] < most && gain(head, of) > best_gain) {
          best_gain = gain(head, of);
          best = &bits[head][of];
        }
    ++*best;
  }
  return bits;
}

std::vector<std::uint8_t> value_bits(std::int32_t width, double mean) {
  constexpr std::int32_t group = 32;
  std::int32_t const groups = (width + group - 1) / group;
  auto const whole = static_cast<std::int32_t>(mean + 1e-9), more = static_cast<std::int32_t>((mean - whole) * groups + 1e-9);
  std::vector<std::uint8_t> bits;
  for (std::int32_t number = 0; number < width; number += strip) bits.push_back(static_cast<std::uint8_t>(number / group < more ? whole + 1 : whole));
  return bits;
}

OrderedKeys ordered_keys(std::vector<RankMap> maps, std::span<HeadMoments const> moments) {
  std::vector<std::vector<double>> weights;
  for (std::size_t head = 0; head < maps.size(); ++head) {
    weights.push_back(key_weights(maps[head], moments[head]));
    sort_numbers(maps[head], weights.back());
    maps[head].feedback = key_feedback(maps[head], moments[head]);
  }
  return {std::move(maps), std::move(weights)};
}

}  // namespace pikv::shards
