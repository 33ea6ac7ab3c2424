#include "runtime/fidelity/sweep_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "comm/error.hpp"

namespace pikv::runtime {

namespace {

struct Row {
  OptionSpec spec;
  std::string SweepOptions::*member;
};

std::vector<Row> const rows{
    {{"grid", "FILE", "", "JSON with lists of settings, all combinations are measured (docs/sweep.md)"}, &SweepOptions::grid},
    {{"output", "FILE", "", "HDF5, a row per setting; a sweep that was cut off goes on where FILE.part ends"}, &SweepOptions::output},
    {{"csv", "FILE", "", "the same as CSV"}, &SweepOptions::csv},
};

constexpr std::array<std::string_view, 12> not_here{"attention", "router", "experts", "read-pages",  "max-error", "home",
                                                    "scheduler", "keep",   "codec",   "page-tokens", "report",    "write-tasks"};

std::string file(GivenOptions& given, std::string const& name) {
  auto const found = given.find(name);
  if (found == given.end()) return "";
  if (found->second.value.empty()) throw InputError(fmt::format("{} names no file; give a path", found->second.said));
  std::string const value = found->second.value;
  given.erase(found);
  return value;
}

}   // namespace

std::vector<OptionSpec> sweep_option_specs() {
  std::vector<OptionSpec> specs;
  for (Row const& row : rows) specs.push_back(row.spec);
  for (OptionSpec const& spec : evaluate_option_specs())
    if (std::ranges::find(not_here, spec.name) == not_here.end()) specs.push_back(spec);
  return specs;
}

SweepOptions parse_sweep_options(std::span<std::string const> args) {
  GivenOptions given = read_given("sweep", sweep_option_specs(), args);
  SweepOptions options;
  for (Row const& row : rows) options.*row.member = file(given, row.spec.name);
  if (options.grid.empty())
    throw InputError("`pikv sweep` needs settings; add --grid FILE, JSON as {\"schedulers\": [\"none\", \"h2o\"], \"keep\": [0.25, 0.5]}");
  if (options.output.empty()) throw InputError("`pikv sweep` needs a place for its results; add --output FILE.h5");
  options.evaluate = evaluate_options_from(std::move(given));
  return options;
}

}   // namespace pikv::runtime
