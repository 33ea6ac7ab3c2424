#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "runtime/coordinator/planner.hpp"
#include "runtime/coordinator/rank_plan.hpp"
#include "shards/epoch.hpp"

namespace pikv::runtime {

struct CoordinatorOptions {
  shards::Step rebalance_steps = 0;   // between two looks at the loads; 0: never
  RankPlan ranks;
};

/// A placement and the step in which all ranks begin to use it: rank 0's control message carries it in an earlier one.
struct PublishedPlacement {
  shards::PlacementOptions placement;
  shards::Step first_step = 0;
};

/// Rank 0's part beside the data path: looks at what the control exchange brought and decides on placements. Nothing but its arguments
/// goes into a decision, so the same states give the same placements.
class Coordinator {
 public:
  /// `first`: the placement of the start; `capacity`: slots for pages, by rank.
  Coordinator(CoordinatorOptions const& options, shards::PlacementOptions first, std::vector<std::uint64_t> capacity, std::uint64_t page_bytes);

  /// What ranks report in the control exchange of a step.
  struct Seen {
    bool settled = true;              // no page is on its way to another owner, anywhere
    std::int64_t room = 0;            // of the ranks that are to store: capacity less all reservations
    std::vector<shards::LoadReport> loads{};   // empty: not due in this step
  };

  /// After the control exchange of `step`. What it returns goes out with the next; `observe` gets the plan made, if one was.
  /// A rank that is to leave keeps storing until what is reserved fits into the others.
  std::optional<PublishedPlacement> decide(shards::Step step, Seen const& seen, std::function<void(PlanRows const&)> const& observe);

 private:
  std::uint64_t wanted_weight(std::size_t rank, shards::Step step, std::int64_t room) const;
  bool ranks_change(shards::Step step, std::int64_t room) const;

  CoordinatorOptions options_;
  shards::PlacementOptions current_;
  std::vector<std::uint64_t> capacity_;
  std::uint64_t page_bytes_;
  std::vector<shards::LoadReport> loads_;   // the last
  shards::Step starts_ = 0;                 // first step of `current_`
};

}  // namespace pikv::runtime
