#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "shards/kv_expert.hpp"

namespace pikv::runtime {

using shards::KvExpert;

/// One query in one layer, as a router sees it. Vectors are [experts].
struct RouterQuery {
  std::uint64_t id = 0;                  // of (stream, layer, position): for routers that do not look
  std::span<float const> affinity;       // z_e = log of the estimated attention mass of the expert's pages (methods 2.9); -inf: it holds none
};

/// What is known of the KV experts besides, from former steps. Each in [0,1] but the load's share, which sums to 1.
struct ExpertStats {
  std::vector<float> miss, flush, compression, distance;   // methods 2.4
  std::vector<float> load;                                 // f_e: share of the pages read
};

/// What a step cost and kept, for routers that learn (methods 2.6).
struct StepOutcome {
  double cost = 0;               // of the step, in units of the mean step
  double certified_recall = 1;   // lower bound of the attention mass read, mean over queries
};

/// Chooses the k KV experts whose pages a query reads (methods 2, the paper's Table 1). Selected experts are joined by log-sum-exp, never by a
/// router's weights. Pinned pages are read besides. Deterministic.
class Router {
 public:
  virtual ~Router() = default;
  /// The k experts of highest score, best first; order: score descending, then id ascending. k <= experts. NaN is a std::logic_error.
  virtual void route(RouterQuery const& query, ExpertStats const& stats, std::int32_t k, std::vector<KvExpert>& chosen) = 0;
  /// Once a step, after its queries: reads[e] of them chose e.
  virtual void end_step(std::span<std::uint32_t const> reads, StepOutcome const& outcome) { (void)reads, (void)outcome; }
};

}  // namespace pikv::runtime
