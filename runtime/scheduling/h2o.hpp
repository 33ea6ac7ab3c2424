#pragma once

#include <memory>

#include "runtime/scheduling/schedulers.hpp"

namespace pikv::runtime {

struct H2oOptions {
  double recent = .5;       // share of the budget that the newest tokens have for themselves
  bool normalise = false;   // divides a page's sum by the queries that could see it, as kvpress' ObservedAttentionPress; plain sums favour old pages
};

/// Heavy hitters (methods 4.3, arXiv 2306.14048): the newest pages and those that gathered most attention so far stay. u = 1 if recent, else a /
/// a_max, a = sum over all queries of the page's share of attention, mean over the heads of its table. A page is recent if it holds one of the last
/// recent * budget.tokens tokens. State: 24 bytes a page.
std::unique_ptr<Scheduler> make_h2o(SchedulerMaterial const& material, H2oOptions const& options = {});

}   // namespace pikv::runtime
