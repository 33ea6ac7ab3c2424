#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/options.hpp"

namespace pikv::runtime {

/// What a grid asks for.
struct SweepPlan {
  std::vector<GenerateOptions> points;           // in the order of the grid, its first list outermost; each setting once
  std::map<std::string, std::size_t> left_out;   // why -> how many combinations
};

/// Every combination of a grid (docs/sweep.md): {"routers", "schedulers", "codecs", "homes", "keep", "page_tokens", "experts", "read_pages"}, each a
/// list. Router `none` is exact attention. A value without effect in a combination takes its default; combinations that the command line would refuse
/// are left out. `base`: options that hold for all. Throws InputError that names `source`, also on one of `base` that has no effect in any
/// combination.
SweepPlan plan_sweep(std::string_view json, std::string const& source, GivenOptions const& base);

}   // namespace pikv::runtime
