#include "runtime/calibration/calibrate_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "comm/error.hpp"
#include "runtime/units.hpp"

namespace pikv::runtime {
namespace {

std::string file_named(Given const& given) {
  if (given.value.empty()) throw InputError(fmt::format("{} names no file; give a path", given.said));
  return given.value;
}

std::vector<std::int32_t> ranks_in(Given const& given) {
  std::vector<std::int32_t> ranks;
  if (given.value == "none") return ranks;
  std::string_view list = given.value;
  while (true) {
    auto const end = std::min(list.find(','), list.size());
    ranks.push_back(static_cast<std::int32_t>(whole_number({std::string{list.substr(0, end)}, given.said}, 1, 1 << 16)));
    if (ranks.back() % 8 != 0) throw InputError(fmt::format("{}: ranks are multiples of 8; give 8, 16, ... or none", given.said));
    if (end == list.size()) return ranks;
    list.remove_prefix(end + 1);
  }
}

struct CalibrateRow {
  OptionSpec spec;
  void (*set)(CalibrateOptions&, Given const&);
};

std::vector<CalibrateRow> const calibrate_rows{
    {{"text", "FILE", "the held-out text", "of the kind that will be served, not what quality is measured on; text, or JSON lines with prompt_ids, as jobs/tokenize.py makes them"},
     [](CalibrateOptions& o, Given const& g) { o.text = file_named(g); }},
    {{"output", "FILE", "", "HDF5 (docs/calibration.md)"}, [](CalibrateOptions& o, Given const& g) { o.output = file_named(g); }},
    {{"tokens", "N", "32768", "of the text, from its beginning, as many whole windows as fit; one in five is held out to measure errors"},
     [](CalibrateOptions& o, Given const& g) { o.tokens = whole_number(g, 1, std::int64_t{1} << 40); }},
    {{"window", "TOKENS", "512", "of each sequence that the text is cut into"},
     [](CalibrateOptions& o, Given const& g) { o.window = static_cast<std::int32_t>(whole_number(g, 16, 1 << 24)); }},
    {{"distill", "RANKS", "a quarter, half of head_dim", "for which maps are fitted to attention itself, which takes the longest: 16,32, or none"},
     [](CalibrateOptions& o, Given const& g) { o.distill = ranks_in(g); }},
};

constexpr std::array<std::string_view, 11> of_generate{"model",   "batch",    "prefill-chunk", "kv-budget",     "transport",      "progress-thread",
                                                       "threads", "deadline", "in-process",    "schedule-seed", "log-level"};

}   // namespace

std::vector<OptionSpec> calibrate_option_specs() {
  std::vector<OptionSpec> specs;
  for (CalibrateRow const& row : calibrate_rows) specs.push_back(row.spec);
  for (OptionSpec const& spec : generate_option_specs())
    if (std::ranges::find(of_generate, spec.name) != of_generate.end()) specs.push_back(spec);
  return specs;
}

CalibrateOptions parse_calibrate_options(std::span<std::string const> args) {
  GivenOptions given = read_given("calibrate", calibrate_option_specs(), args);
  CalibrateOptions options;
  for (CalibrateRow const& row : calibrate_rows) {
    auto const found = given.find(row.spec.name);
    if (found == given.end()) continue;
    row.set(options, found->second);
    given.erase(found);
  }
  if (options.output.empty()) throw InputError("`pikv calibrate` needs a place for what it finds; add --output FILE.h5");
  options.cache = generate_options_from(given);
  check_effects(options.cache, given);
  options.cache.kv_dtype = kernels::DType::f32;
  options.cache.store = StoreMode::local;
  return options;
}

}   // namespace pikv::runtime
