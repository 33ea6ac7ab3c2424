#pragma once

#include <vector>

#include "comm/world.hpp"
#include "runtime/recorder.hpp"
#include "runtime/request.hpp"
#include "runtime/statistics.hpp"

namespace pikv::runtime {

/// Set-up collectives at the end of a job. Everyone's results on rank 0, in input order and without logits; empty elsewhere.
std::vector<Result> gather_results(comm::World& world, std::vector<Result> const& mine, double deadline_s);
/// Tokens and logits of one request, on rank 0; both empty elsewhere, and for a request that generated nothing.
Result gather_logits(comm::World& world, std::vector<Result> const& mine, std::int64_t index, double deadline_s);
/// Sums over ranks, on every rank. `faults`: what a fault plan did to this rank; null on all ranks without one.
RunSummary gather_summary(comm::World& world, Recorder const& mine, comm::FaultCounts const* faults, double deadline_s);

}  // namespace pikv::runtime
