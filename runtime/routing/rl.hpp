#pragma once

#include <memory>

#include "runtime/routing/plackett_luce.hpp"
#include "runtime/routing/routers.hpp"

namespace pikv::runtime {

struct RlSettings {
  double rate = 0.01, entropy = 0.01, error = 10;   // learning rate, c_H, lambda_err
  double explore = 0.05;                            // share of steps that draw instead of taking the best, and that are learned from
};

/// phi_e = (log p_e, not below -20; miss; flush; compression; log(E f_e); distance; p_e / max p; 1).
void router_features_of(std::span<float const> log_p, ExpertStats const& stats, std::span<Features> phi);

/// What it starts with: cache_aware and entropy together.
inline constexpr Features first_theta{1, -1, -0.5, -0.5, -0.5, -0.25, 1, 0};

/// The reward of a step, and REINFORCE with a baseline on a Plackett-Luce policy (methods 2.6).
struct RlLearner {
  RlSettings settings;
  PlackettLuce policy{first_theta};
  double baseline = 0;

  double reward(StepOutcome const& outcome) const { return -outcome.cost - settings.error * (1 - outcome.certified_recall); }
  /// One update from the mean gradients of a step's draws; a score gradient longer than 1 is cut to 1.
  void learn(double reward, Features score_gradient, Features const& entropy_gradient);
};

/// Router `rl`: the k experts of highest learned score; in some steps, drawn by a counter-based hash of the seed, scores get Gumbel noise, and
/// end_step() learns from what that step cost and kept. State: 8 weights and a baseline.
std::unique_ptr<Router> make_rl_router(RouterMaterial const& material, RlSettings const& settings);

}  // namespace pikv::runtime
