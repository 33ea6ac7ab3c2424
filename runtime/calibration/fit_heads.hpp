#pragma once

#include <span>

#include "comm/world.hpp"
#include "runtime/calibration/calibration.hpp"
#include "runtime/calibration/samples.hpp"

namespace pikv::runtime {

/// Collective: what needs samples, each head on one rank (layer * kv_heads + head, mod ranks): maps `distill` of the ranks asked for, and what codes
/// add to the errors of every family. `data` has moments and maps, on every rank; the rest of it is set on every rank.
void fit_heads(comm::World& world, double deadline_s, std::span<std::int32_t const> distill_ranks, Samples& samples, CalibrationData& data);

}   // namespace pikv::runtime
