#include "runtime/routing/entropy.hpp"

#include <cmath>

#include "runtime/routing/scores.hpp"

namespace pikv::runtime {
namespace {

class EntropyRouter : public Router {
 public:
  explicit EntropyRouter(KvExpert experts) : scores_(static_cast<std::size_t>(experts)) {}
  void route(RouterQuery const& query, ExpertStats const& stats, std::int32_t k, std::vector<KvExpert>& chosen) override {
    require_stats(stats, scores_.size());
    log_softmax(query.affinity, scores_);
    entropy_scores(scores_, stats.load, entropy_weight, scores_);
    take_top(scores_, k, chosen);
  }

 private:
  std::vector<float> scores_;
};

}  // namespace

void entropy_scores(std::span<float const> log_p, std::span<float const> load, float weight, std::span<float> scores) {
  auto const experts = static_cast<float>(log_p.size());
  for (std::size_t e = 0; e < log_p.size(); ++e) scores[e] = log_p[e] - weight * std::log(experts * load[e] + 1e-6f);
}

std::unique_ptr<Router> make_entropy_router(RouterMaterial const& material) { return std::make_unique<EntropyRouter>(material.experts); }

}  // namespace pikv::runtime
