#pragma once

#include <array>
#include <span>
#include <vector>

#include "shards/kv_expert.hpp"

namespace pikv::runtime {

inline constexpr std::size_t router_features = 8;
using Features = std::array<double, router_features>;

/// A linear Plackett-Luce policy over ordered choices without replacement (methods 2.6; Kool et al., arXiv 2002.06043): expert e has the score
/// s_e = theta . phi_e, and each pick is a draw from the softmax over those that are left. Adding Gumbel noise to s and taking the k best draws so.
struct PlackettLuce {
  Features theta{};

  void scores(std::span<Features const> phi, std::span<double> s) const;
  /// log of the probability to pick `order`.
  double log_probability(std::span<Features const> phi, std::span<shards::KvExpert const> order) const;
  /// Its gradient by theta: the sum over picks j of phi_j - sum over those left of pi_j(e) phi_e.
  Features log_probability_gradient(std::span<Features const> phi, std::span<shards::KvExpert const> order) const;
  /// Gradient by theta of the entropy of the first pick.
  Features entropy_gradient(std::span<Features const> phi) const;
};

}  // namespace pikv::runtime
