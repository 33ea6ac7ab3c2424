#include "runtime/fidelity/grid.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "comm/error.hpp"
#include "runtime/model/json.hpp"
#include "runtime/scheduling/schedulers.hpp"

namespace pikv::runtime {

namespace {

using Json = nlohmann::json;

struct Axis {
  char const* key;
  char const* option;
};

constexpr std::array<Axis, 8> axes{{{"routers", "router"},
                                    {"schedulers", "scheduler"},
                                    {"codecs", "codec"},
                                    {"homes", "home"},
                                    {"keep", "keep"},
                                    {"page_tokens", "page-tokens"},
                                    {"experts", "experts"},
                                    {"read_pages", "read-pages"}}};

bool says_no_router(Axis const& axis, std::string const& value) { return std::string_view{axis.option} == "router" && value == "none"; }

// With what the value needs beside it.
void add(GivenOptions& options, Axis const& axis, Given const& value) {
  if (says_no_router(axis, value.value)) return;
  options[axis.option] = value;
  std::string_view const option = axis.option;
  if (option == "router") options["attention"] = {"routed", "--attention routed"};
  auto const scheduler = option == "scheduler" ? schedulers().find(value.value) : schedulers().end();
  if (scheduler != schedulers().end() && scheduler->second.kind == SchedulerKind::placement) options["store"] = {"local", "--store local"};
}

std::vector<Given> values_of(Axis const& axis, Json const& list, std::string const& source, GivenOptions const& base) {
  if (!list.is_array() || list.empty()) throw InputError(fmt::format("\"{}\" in {} is not a list of values; write it as [..]", axis.key, source));
  std::vector<Given> values;
  for (Json const& value : list) {
    if (!value.is_string() && !value.is_number())
      throw InputError(fmt::format("\"{}\" in {} holds {}, which is neither a name nor a number", axis.key, source, value.dump()));
    Given const given{value.is_string() ? value.get<std::string>() : value.dump(), fmt::format("\"{}\": {} in {}", axis.key, value.dump(), source)};
    GivenOptions alone;
    for (char const* beside : {"calibration", "kv-budget"})   // what some codecs cannot be without
      if (auto const found = base.find(beside); found != base.end()) alone.insert(*found);
    add(alone, axis, given);
    (void)generate_options_from(alone);   // throws
    values.push_back(given);
  }
  return values;
}

Json parse_grid(std::string_view text, std::string const& source) {
  Json grid = parse_json(text, source);
  std::vector<std::string> keys;
  for (Axis const& axis : axes) keys.emplace_back(axis.key);
  if (!grid.is_object()) throw InputError(source + " is not a JSON object; write {\"schedulers\": [\"none\", \"h2o\"], \"keep\": [0.25, 0.5]}");
  for (auto const& [key, list] : grid.items())
    if (std::ranges::find(keys, key) == keys.end())
      throw InputError(fmt::format("{} has the unknown key \"{}\"{}; these exist: {}", source, key, did_you_mean(key, keys), fmt::join(keys, ", ")));
  return grid;
}

std::vector<GivenOptions> combinations(Json const& grid, std::string const& source, GivenOptions const& base) {
  std::vector<GivenOptions> all{base};
  for (Axis const& axis : axes) {
    auto const list = grid.find(axis.key);
    if (list == grid.end()) continue;
    std::vector<GivenOptions> longer;
    for (GivenOptions const& shorter : all)
      for (Given const& value : values_of(axis, *list, source, base)) {
        longer.push_back(shorter);
        add(longer.back(), axis, value);
      }
    all = std::move(longer);
  }
  return all;
}

// A home matters where a router chooses by it.
bool matters(GenerateOptions const& options, Axis const& axis) {
  return has_effect(options, std::string_view{axis.option} == "home" ? "router" : axis.option);
}

GenerateOptions point_of(GivenOptions given) {
  GenerateOptions const options = generate_options_from(given);
  for (Axis const& axis : axes)
    if (!matters(options, axis)) given.erase(axis.option);
  return generate_options_from(given);
}

std::string setting(GenerateOptions const& point) {
  std::string text = point.attention;
  for (Axis const& axis : axes)
    if (auto const found = point.given.find(axis.option); found != point.given.end()) text += fmt::format(" {}={}", axis.option, found->second.value);
  return text;
}

}   // namespace

SweepPlan plan_sweep(std::string_view json, std::string const& source, GivenOptions const& base) {
  SweepPlan plan;
  std::set<std::string> seen;
  for (GivenOptions const& given : combinations(parse_grid(json, source), source, base)) {
    try {
      GenerateOptions point = point_of(given);
      if (point.attention == "routed" && point.experts == 0 && point.read_pages == 0)
        throw InputError("a router that may read everything changes nothing; add \"experts\" or \"read_pages\" to the grid");
      if (seen.insert(setting(point)).second) plan.points.push_back(std::move(point));
    } catch (InputError const& refused) {
      ++plan.left_out[refused.what()];
    }
  }
  if (plan.points.empty()) throw InputError(fmt::format("{} holds no setting that can be measured: {}", source, plan.left_out.begin()->first));
  for (auto const& [name, given] : base)
    if (name != "seed" && std::ranges::none_of(plan.points, [&](GenerateOptions const& point) { return has_effect(point, name); }))
      throw InputError(fmt::format("{} has no effect on any setting of {}; leave it out", given.said, source));
  return plan;
}

}   // namespace pikv::runtime
