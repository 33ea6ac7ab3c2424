#pragma once

#include <memory>
#include <span>
#include <vector>

#include "runtime/scheduling/schedulers.hpp"

namespace pikv::runtime {

/// Where pages can lie: device, host, file.
struct Tier {
  std::int64_t pages = 0;                       // room
  double latency_s = 0, bytes_per_second = 1;   // of reading a page
};

struct PlacementOptions {
  double page_bytes = 0;
  double horizon_steps = 256;   // a move must pay for itself within these
};

/// The tier of each page (methods 4.6). Pages of one size: the more a page is read, the faster its tier. Pages that lie nowhere yet are placed so
/// that the time of reads, sum f * (latency + bytes / bandwidth), is least in the room left; one that lies somewhere moves, or changes places, only
/// if the time this saves within the horizon exceeds the time of moving over the slower of the two tiers. A tier over its room sends away its
/// coldest.
///   reads_per_step  f, by page
///   now             tier of each page, -1: nowhere yet
///   tiers           fastest first, with room for all (std::logic_error)
/// Deterministic; equal f: the lower page gets the faster tier. O(n log n) per pair of tiers.
std::vector<std::int32_t> place(std::span<double const> reads_per_step, std::span<std::int32_t const> now, std::span<Tier const> tiers,
                                PlacementOptions const& options);

/// FlexGen's tiers with a utility per page (methods 4.6; FlexGen, arXiv 2303.06865, fixes shares instead): u = f, the EMA of reads per step, to which
/// the benefit f * (t_slow - t_fast) of pages of one size is proportional. A new page counts as read in every step before. State: 32 bytes a page.
std::unique_ptr<Scheduler> make_flexgen(SchedulerMaterial const& material);

}   // namespace pikv::runtime
