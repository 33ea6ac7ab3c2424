#pragma once

#include "runtime/analyze/trace_reader.hpp"
#include "runtime/replay/reads.hpp"

namespace pikv::runtime::replay {

/// The page reads that a trace of `pikv generate` wrote down: its `hit` and `miss` events, pages named by (stream, layer, block), a request for the
/// reads of a rank in a step. Hits are a sample (docs/trace.md: every 1021st or more), so hit rates are those of the sample and distances are shorter
/// than they were. Throws RunError if there are none.
Reads read_events(analyze::Trace const& trace);

}   // namespace pikv::runtime::replay
