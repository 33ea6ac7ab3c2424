#pragma once

#include <functional>
#include <string_view>

#include "runtime/analyze/trace_reader.hpp"

namespace pikv::runtime::analyze {

/// The trace in Perfetto's own format (protobuf, perfetto/trace/trace.proto), handed to `write` piece by piece. A process per rank, with
/// a track of steps in which the stages lie one behind the other (their lengths were measured, not their order), a track per place of
/// the batch for its requests, one of page events, and counters. Where the clock is virtual a step takes 1 ms.
void write_perfetto(Trace const& trace, std::function<void(std::string_view)> const& write);

}   // namespace pikv::runtime::analyze
