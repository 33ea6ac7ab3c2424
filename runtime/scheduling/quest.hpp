#pragma once

#include <memory>

#include "runtime/scheduling/schedulers.hpp"

namespace pikv::runtime {

/// Quest (methods 4.5, arXiv 2406.10774): nothing is evicted, a query reads the pages whose keys could score highest. Score = log u,
/// u = exp((UB - highest UB) / sqrt(d)), UB >= every q.k of the page by its box (2.9); of the query heads of a table, the highest u. Layers 0 and 1,
/// and pages without a summary: +inf, which is to be read. utilities() are 1. No state of its own. select(): 2 * q_heads * head_dim multiply-adds a
/// page.
std::unique_ptr<Scheduler> make_quest(SchedulerMaterial const& material);

}   // namespace pikv::runtime
