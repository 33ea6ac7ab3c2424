#pragma once

#include <string>

#include "runtime/analyze/trace_reader.hpp"

namespace pikv::runtime::analyze {

/// Makes every plan of the coordinator again from the loads it saw: a line each, ending in "the same" or in what differs. Throws RunError
/// if the trace has no plans.
std::string replan(Trace const& trace);
/// Throws RunError if one differs.
void check_replanned(Trace const& trace);

}   // namespace pikv::runtime::analyze
