#pragma once

#include <string>
#include <vector>

#include "runtime/analyze/figures.hpp"

namespace pikv::runtime::analyze {

struct Advice {
  std::string rule;      // docs/analyze.md lists the rules with their thresholds
  double worth = 0;      // share of the run's time or memory that it bears on; more than 1: before anything else
  std::string finding;   // the figure it is based on
  std::string change;    // what to set, or to look at
};

/// What the rules say of this run, the most worthwhile first.
std::vector<Advice> advice_for(Trace const& trace, Figures const& figures);

}   // namespace pikv::runtime::analyze
