#pragma once

#include <cstdint>
#include <vector>

#include "runtime/coordinator/plan_record.hpp"
#include "shards/load_report.hpp"
#include "shards/placement.hpp"

namespace pikv::runtime {

/// Plans are made when the busiest rank bears so much more than the mean (methods 1.6).
inline constexpr double most_imbalance = 1.2;
/// Moving a byte counts as reading so many: it is read and verified, crosses the network (an eighth of memory's speed, say), is verified and
/// indexed there. A stated figure instead of a measured one, so that the same loads give the same plan.
inline constexpr std::uint64_t cost_of_moving = 8;

struct PlanInput {
  std::int64_t step = 0;
  shards::PlacementOptions current;
  std::vector<std::uint64_t> weights;      // by rank, wanted from now on; 0: stores nothing
  std::vector<shards::LoadReport> loads;   // by rank
  std::uint64_t page_bytes = 0;            // of a slot, header included
};

struct Planned {
  PlanReason reason = PlanReason::loads;
  bool adopted = false;
  shards::PlacementOptions next;           // if adopted
  double imbalance = 0, predicted = 0;
  std::uint64_t saved_bytes = 0, cost_bytes = 0;
};

/// A pure function. A rank's load is its share of all page reads plus its share of all stored pages. Bounded rendezvous hashing spreads
/// what is not hot; buckets that bear more than a thirty-second of a rank's even share are hot and placed by EPLB (eplb.hpp) over ranks, one
/// GPU of it being as much capacity as the smallest rank has, up to four a rank. Where it would copy a bucket it is split instead:
/// pages are written once and read where they lie, so that parts balance reads as copies do, and memory too.
/// Ranks work side by side and a step waits for the slowest. So it is adopted if the bytes that the busiest rank reads less until the next
/// plan exceed the bytes that any one rank gives or takes, times cost_of_moving.
/// When weights change, the plan is that change, always adopted; hot buckets stay on their ranks that store on.
Planned plan(PlanInput const& input);

/// The rows of a plan for the trace, and back.
PlanRows rows_of(PlanInput const& input, Planned const& planned, std::int64_t first_step);
/// `current`: the places of the placement it saw.
PlanInput input_of(PlanRows const& rows, std::vector<shards::BucketPlace> const& current);
std::vector<shards::BucketPlace> places_of(std::vector<PlanPlace> const& rows);

}  // namespace pikv::runtime
