#include "runtime/routing/rl.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/routing/scores.hpp"
#include "shards/mix.hpp"

namespace pikv::runtime {
namespace {

using shards::mix;

double uniform(std::uint64_t bits) { return (static_cast<double>(bits >> 11) + 0.5) * 0x1p-53; }
double gumbel(std::uint64_t bits) { return -std::log(-std::log(uniform(bits))); }

void add(Features& to, Features const& what) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += what[i];
}
Features scaled(Features x, double factor) {
  for (double& value : x) value *= factor;
  return x;
}

class RlRouter : public Router {
 public:
  RlRouter(RouterMaterial const& material, RlSettings const& settings)
      : seed_{material.seed},
        learner_{.settings = settings},
        log_p_(static_cast<std::size_t>(material.experts)),
        scores_(log_p_.size()),
        phi_(log_p_.size()),
        exact_(log_p_.size()) {}

  void route(RouterQuery const& query, ExpertStats const& stats, std::int32_t k, std::vector<KvExpert>& chosen) override {
    require_stats(stats, log_p_.size());
    log_softmax(query.affinity, log_p_);
    router_features_of(log_p_, stats, phi_);
    learner_.policy.scores(phi_, exact_);
    bool const draw = explores();
    for (std::size_t e = 0; e < exact_.size(); ++e) {
      double const noise = draw ? gumbel(mix(mix(mix(seed_ ^ mix(step_)) ^ query.id) ^ mix(draws_ << 32 ^ e))) : 0;
      scores_[e] = static_cast<float>(exact_[e] + noise);
    }
    take_top(scores_, k, chosen);
    if (!draw) return;
    add(score_gradient_, learner_.policy.log_probability_gradient(phi_, chosen));
    add(entropy_gradient_, learner_.policy.entropy_gradient(phi_));
    ++draws_;
  }

  void end_step(std::span<std::uint32_t const>, StepOutcome const& outcome) override {
    if (draws_ > 0) {
      double const share = 1 / static_cast<double>(draws_);
      learner_.learn(learner_.reward(outcome), scaled(score_gradient_, share), scaled(entropy_gradient_, share));
    }
    score_gradient_ = entropy_gradient_ = {};
    draws_ = 0;
    ++step_;
  }

 private:
  bool explores() const { return uniform(mix(seed_ + 0x9E3779B97F4A7C15u * (step_ + 1))) < learner_.settings.explore; }

  std::uint64_t seed_, step_ = 0, draws_ = 0;   // draws: queries of this step that were drawn
  RlLearner learner_;
  Features score_gradient_{}, entropy_gradient_{};
  std::vector<float> log_p_, scores_;
  std::vector<Features> phi_;
  std::vector<double> exact_;
};

}  // namespace

void router_features_of(std::span<float const> log_p, ExpertStats const& stats, std::span<Features> phi) {
  double const experts = static_cast<double>(log_p.size()), top = *std::ranges::max_element(log_p);
  for (std::size_t e = 0; e < log_p.size(); ++e)
    phi[e] = {std::max(-20.0, double{log_p[e]}),        stats.miss[e],     stats.flush[e],           stats.compression[e],
              std::log(experts * stats.load[e] + 1e-6), stats.distance[e], std::exp(log_p[e] - top), 1};
}

void RlLearner::learn(double reward, Features score_gradient, Features const& entropy_gradient) {
  double const length = std::sqrt(std::inner_product(score_gradient.begin(), score_gradient.end(), score_gradient.begin(), 0.0));
  double const advantage = (reward - baseline) / std::max(1.0, length);
  for (std::size_t i = 0; i < score_gradient.size(); ++i)
    policy.theta[i] += settings.rate * (advantage * score_gradient[i] + settings.entropy * entropy_gradient[i]);
  baseline += 0.05 * (reward - baseline);
}

std::unique_ptr<Router> make_rl_router(RouterMaterial const& material, RlSettings const& settings) {
  return std::make_unique<RlRouter>(material, settings);
}

}  // namespace pikv::runtime
