#include "runtime/routing/plackett_luce.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace pikv::runtime {
namespace {

double dot(Features const& a, Features const& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); }

void add(Features& to, double factor, Features const& what) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += factor * what[i];
}

/// exp(s_e - max) of each expert; valid until the next call in this thread.
std::vector<double>& weights_of(PlackettLuce const& policy, std::span<Features const> phi) {
  thread_local std::vector<double> weights;
  weights.resize(phi.size());
  policy.scores(phi, weights);
  double const top = *std::ranges::max_element(weights);
  for (double& weight : weights) weight = std::exp(weight - top);
  return weights;
}

}  // namespace

void PlackettLuce::scores(std::span<Features const> phi, std::span<double> s) const {
  for (std::size_t e = 0; e < phi.size(); ++e) s[e] = dot(theta, phi[e]);
}

double PlackettLuce::log_probability(std::span<Features const> phi, std::span<shards::KvExpert const> order) const {
  auto& weights = weights_of(*this, phi);
  double log_probability = 0;
  for (shards::KvExpert const pick : order) {
    double& weight = weights[static_cast<std::size_t>(pick)];
    log_probability += std::log(weight / std::accumulate(weights.begin(), weights.end(), 0.0));
    weight = 0;
  }
  return log_probability;
}

Features PlackettLuce::log_probability_gradient(std::span<Features const> phi, std::span<shards::KvExpert const> order) const {
  auto& weights = weights_of(*this, phi);
  Features gradient{};
  for (shards::KvExpert const pick : order) {
    double const left = std::accumulate(weights.begin(), weights.end(), 0.0);
    add(gradient, 1, phi[static_cast<std::size_t>(pick)]);
    for (std::size_t e = 0; e < phi.size(); ++e) add(gradient, -weights[e] / left, phi[e]);
    weights[static_cast<std::size_t>(pick)] = 0;
  }
  return gradient;
}

Features PlackettLuce::entropy_gradient(std::span<Features const> phi) const {
  auto const& weights = weights_of(*this, phi);
  double const sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  double entropy = 0;
  for (double const weight : weights)
    if (weight > 0) entropy -= weight / sum * std::log(weight / sum);
  Features gradient{};   // d H / d s_e = -p_e (log p_e + H)
  for (std::size_t e = 0; e < phi.size(); ++e)
    if (weights[e] > 0) add(gradient, -weights[e] / sum * (std::log(weights[e] / sum) + entropy), phi[e]);
  return gradient;
}

}  // namespace pikv::runtime
