#pragma once

#include <memory>
#include <span>

#include "runtime/routing/routers.hpp"

namespace pikv::runtime {

struct CachePenalties {
  float miss = 1, flush = 0.5f, compression = 0.5f, distance = 0.25f;
};

/// score_e = log p_e - penalties x stats (methods 2.4, the paper's PiKVRouter). Statistics lie in [0,1], so an expert whose log p exceeds that of the
/// (k+1)-th by more than the sum of the penalties is always chosen.
void cache_aware_scores(std::span<float const> log_p, ExpertStats const& stats, CachePenalties const& penalties, std::span<float> scores);

/// Router `cache_aware`: the k highest of those scores; avoids experts whose pages are missing, freshly evicted, heavily compressed or far.
std::unique_ptr<Router> make_cache_aware_router(RouterMaterial const& material);

}  // namespace pikv::runtime
