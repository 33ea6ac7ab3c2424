#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pikv::shards {

/// How many of its coordinates each map keeps, so that the least is lost at a given sum (methods 3.2 (2)).
///   spectra   of any number of maps, each descending, not negative, in one unit over all
///   mean_rank >= 8, of all maps together; the sum never exceeds mean_rank * spectra.size()
/// Ranks are multiples of 8, or all of a spectrum; at least 8. Groups of 8 coordinates are taken greedily by what they lose, the first map first
/// where they are equal: no other such choice loses less, since every spectrum is sorted (but for what a last group of fewer than 8 would still fit).
std::vector<std::int32_t> allocate_ranks(std::span<std::vector<double> const> spectra, double mean_rank);

}  // namespace pikv::shards
