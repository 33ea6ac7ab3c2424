#pragma once

#include <string>

#include "runtime/analyze/events.hpp"

namespace pikv::runtime::analyze {

/// A page's whole life, an event a line. Throws RunError if the trace has no events, or none of this page.
std::string explain(Trace const& trace, PageName const& page);

}   // namespace pikv::runtime::analyze
