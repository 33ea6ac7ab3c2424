#pragma once

#include <span>
#include <string>

#include "runtime/fidelity/sweep_rows.hpp"

namespace pikv::runtime {

/// "scheduler h2o, keep 0.25, page_tokens 16": one setting, for the log; what is as if it were not said is left out.
std::string setting_text(PointRow const& row);

/// A line per setting, the least KL first; settings that are the same on all lines have no column. Published schedulers as they are get the word
/// `baseline`.
std::string sweep_table(std::span<PointRow const> rows);

/// In the order of the grid, columns as in /points; NaN is empty.
std::string sweep_csv(std::span<PointRow const> rows);

}   // namespace pikv::runtime
