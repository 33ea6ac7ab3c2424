#pragma once

#include <memory>

#include "runtime/scheduling/schedulers.hpp"

namespace pikv::runtime {

struct LruPlusOptions {
  double recency = .3, frequency = .3, mass = .4;   // weights, scaled to sum 1
};

/// LRU with two memories (methods 4.2): u = weighted sum of
///   recency    as lru
///   frequency  log(1+n) / log(1+n_max), n = steps that read the page, halved every 512 steps
///   mass       a / a_max, a <- .95 a + M each step, M = the page's share of attention, highest of the heads, mean over the step's rows
/// with maxima over the pages asked for. State: 48 bytes a page.
std::unique_ptr<Scheduler> make_lru_plus(SchedulerMaterial const& material, LruPlusOptions const& options = {});

}   // namespace pikv::runtime
