#pragma once

#include <memory>

#include "runtime/scheduling/schedulers.hpp"

namespace pikv::runtime {

/// The paper's own score (methods 4.11): u = a (1 + cos(q, k)) / 2, a = how often the page is read (EMA from .5, read_rates.hpp), q = EMA of the
/// queries (.9), k = the page's mean key; of the query heads of a table, the highest cosine. 0 stands for the cosine where either is zero, the page
/// has no summary or no query was seen. State: 32 bytes a page, one query a table. utilities(): 3 * q_heads * head_dim multiply-adds a page.
std::unique_ptr<Scheduler> make_pikv(SchedulerMaterial const& material);

}   // namespace pikv::runtime
