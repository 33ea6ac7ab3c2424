#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/scheduling/scheduler.hpp"

namespace pikv::runtime {

/// A page of one table that could go or must stay.
struct HeldPage {
  Block block = 0;
  std::int32_t tokens = 0;
  bool pinned = false;   // first page, window, open page: never evicted
  float weight = 1;      // of its utility, 0 to 1: how likely a router is to read it (the paper's U = sum of pi u)
};

struct RetentionOptions {
  double redundancy = 0;   // gamma of methods 4.12: 0 takes the lowest utility alone
};

struct Eviction {
  std::int32_t table = 0;
  Block block = 0;
};

/// Which pages of a layer must go so that its tables keep budget.tokens each, mean over the tables, pinned ones counted and never evicted: what the
/// pinned ones leave is divided by scheduler.budgets(), then in each table the lowest utilities go, equal ones by ascending block; with
/// options.redundancy, of twice as many of lowest utility those most like another page (redundancy.hpp, methods 4.12).
///   held        by table, ascending blocks; nothing is decided while no table exceeds budget.tokens
///   summaries   by table; needed (not empty) if options.redundancy > 0
/// Deterministic; exactly as many pages go as must. A utility outside [0,1] is std::logic_error. O(unpinned pages + pages that go * log).
void choose_evictions(Scheduler& scheduler, std::span<std::vector<HeldPage> const> held, Budget const& budget,
                      std::span<PageSummaries const> summaries, RetentionOptions const& options, std::vector<Eviction>& out);

}  // namespace pikv::runtime
