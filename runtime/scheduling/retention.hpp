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
};

struct RetentionOptions {
  double redundancy = 0;   // gamma of methods 4.12: 0 takes the lowest utility alone
};

struct Eviction {
  std::int32_t table = 0;
  Block block = 0;
};

/// Which pages of a layer must go so that each table keeps no more tokens than its budget, pinned ones counted and never evicted (methods 4.12):
/// of the pages of lowest utility, first those whose mean key is closest to one that stays.
///   held        by table, ascending blocks
///   summaries   by table; needed (not empty) if options.redundancy > 0
/// Deterministic; exactly as many pages go as must.
void choose_evictions(Scheduler& scheduler, std::span<std::vector<HeldPage> const> held, Budget const& budget,
                      std::span<PageSummaries const> summaries, RetentionOptions const& options, std::vector<Eviction>& out);

}  // namespace pikv::runtime
