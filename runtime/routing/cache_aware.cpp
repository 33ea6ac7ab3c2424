#include "runtime/routing/cache_aware.hpp"

#include "runtime/routing/scores.hpp"

namespace pikv::runtime {
namespace {

class CacheAwareRouter : public Router {
 public:
  explicit CacheAwareRouter(KvExpert experts) : scores_(static_cast<std::size_t>(experts)) {}
  void route(RouterQuery const& query, ExpertStats const& stats, std::int32_t k, std::vector<KvExpert>& chosen) override {
    require_stats(stats, scores_.size());
    log_softmax(query.affinity, scores_);
    cache_aware_scores(scores_, stats, {}, scores_);
    take_top(scores_, k, chosen);
  }

 private:
  std::vector<float> scores_;
};

}  // namespace

void cache_aware_scores(std::span<float const> log_p, ExpertStats const& stats, CachePenalties const& penalties, std::span<float> scores) {
  for (std::size_t e = 0; e < log_p.size(); ++e)
    scores[e] = log_p[e] - penalties.miss * stats.miss[e] - penalties.flush * stats.flush[e] - penalties.compression * stats.compression[e] -
                penalties.distance * stats.distance[e];
}

std::unique_ptr<Router> make_cache_aware_router(RouterMaterial const& material) { return std::make_unique<CacheAwareRouter>(material.experts); }

}  // namespace pikv::runtime
