#pragma once

#include <span>
#include <string>
#include <vector>

#include "runtime/fidelity/evaluate_options.hpp"

namespace pikv::runtime {

/// `pikv sweep`: what is measured, as `pikv evaluate` would, and where the settings and results are. Options that the grid sets are not among them.
struct SweepOptions {
  EvaluateOptions evaluate;
  std::string grid, output, csv;   // files
};

std::vector<OptionSpec> sweep_option_specs();
/// Throws InputError. Whether an option has an effect is seen when the grid has been read (grid.hpp).
SweepOptions parse_sweep_options(std::span<std::string const> args);

}   // namespace pikv::runtime
