#pragma once

#include <string>
#include <vector>

#include "runtime/analyze/advice.hpp"
#include "runtime/analyze/figures.hpp"

namespace pikv::runtime::analyze {

/// One page of text for a person: the job, time by stage and rank, stragglers, loads, traffic, memory, integrity, and the three things
/// most worth changing. Of many ranks it shows the busiest. Ends with a newline.
std::string report_text(Trace const& trace, Figures const& figures, std::vector<Advice> const& advice);

}   // namespace pikv::runtime::analyze
