#include "runtime/routing/topk_balanced.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "runtime/routing/scores.hpp"

namespace pikv::runtime {
namespace {

class TopkBalancedRouter : public Router {
 public:
  explicit TopkBalancedRouter(KvExpert experts) : bias_(static_cast<std::size_t>(experts)), scores_(bias_.size()) {}

  void route(RouterQuery const& query, ExpertStats const&, std::int32_t k, std::vector<KvExpert>& chosen) override {
    log_softmax(query.affinity, scores_);
    float const log_experts = std::log(static_cast<float>(scores_.size()));
    for (std::size_t e = 0; e < scores_.size(); ++e) {
      bool const empty = std::isinf(query.affinity[e]);
      scores_[e] = empty ? -std::numeric_limits<float>::infinity() : 1 / (1 + std::exp(-scores_[e] - log_experts)) + bias_[e];
    }
    take_top(scores_, k, chosen);
  }

  void end_step(std::span<std::uint32_t const> reads, StepOutcome const&) override {
    double const mean = static_cast<double>(std::accumulate(reads.begin(), reads.end(), std::uint64_t{0})) / static_cast<double>(reads.size());
    constexpr float step = 0.001f;
    for (std::size_t e = 0; e < bias_.size(); ++e) {
      if (reads[e] > mean) bias_[e] = std::max(-1.0f, bias_[e] - step);
      if (reads[e] < mean) bias_[e] = std::min(1.0f, bias_[e] + step);
    }
  }

 private:
  std::vector<float> bias_, scores_;
};

}  // namespace

std::unique_ptr<Router> make_topk_balanced_router(RouterMaterial const& material) { return std::make_unique<TopkBalancedRouter>(material.experts); }

}  // namespace pikv::runtime
