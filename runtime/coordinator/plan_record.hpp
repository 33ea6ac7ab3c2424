#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "shards/placement.hpp"

namespace pikv::runtime {

enum class PlanReason : std::int32_t { loads, ranks };   // a load was uneven; ranks join or leave
char const* to_string(PlanReason reason);

/// A plan of the coordinator, adopted or not; a row of the trace's /plans.
struct PlanRecord {
  std::int64_t step = 0;                // in whose control exchange the loads came
  std::int64_t first_step = -1;         // in which its placement starts; -1: not adopted
  std::uint64_t epoch = 0;              // of the placement it saw
  std::int32_t reason = 0, adopted = 0;
  double imbalance = 0, predicted = 0;  // largest load of a rank over the mean, by capacity: seen, and after the plan
  std::uint64_t saved_bytes = 0;        // page bytes that the busiest rank reads less until the next plan
  std::uint64_t cost_bytes = 0;         // page bytes that the rank with most of them gives or takes, times what moving a byte costs (planner.hpp)
  std::uint64_t page_bytes = 0;
};

/// What it saw of a rank; a row of /plan_loads.
struct PlanLoad {
  std::int64_t step = 0;
  std::int32_t rank = 0;
  std::uint64_t weight_before = 0, weight = 0;
  std::uint64_t pages = 0, bytes = 0, reads = 0;
  std::array<std::uint64_t, 3> bytes_by_locality{};
};

/// One of a rank's heaviest buckets; a row of /plan_buckets.
struct PlanBucket {
  std::int64_t step = 0;
  std::int32_t rank = 0, bucket = 0;
  std::uint64_t pages = 0, reads = 0;
};

/// One part of a bucket that an adopted plan places apart from its hash; a row of /plan_places.
struct PlanPlace {
  std::int64_t step = 0;
  std::int32_t bucket = 0, part = 0, rank = 0;
};

/// All of a plan: what it saw suffices to make it again.
struct PlanRows {
  PlanRecord plan;
  std::vector<PlanLoad> loads;
  std::vector<PlanBucket> buckets;
  std::vector<PlanPlace> places;
};

}  // namespace pikv::runtime
