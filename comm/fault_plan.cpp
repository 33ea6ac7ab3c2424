#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "comm/error.hpp"
#include "comm/faults.hpp"

namespace pikv::comm {
namespace {

using Json = nlohmann::json;

[[noreturn]] void refuse(std::string const& key, Json const& value, char const* wanted) {
  throw InputError(fmt::format("\"{}\" is {}, but must be {}", key, value.dump(), wanted));
}

double number(std::string const& key, Json const& value, double highest, char const* wanted) {
  if (!value.is_number() || value.get<double>() < 0 || value.get<double>() > highest) refuse(key, value, wanted);
  return value.get<double>();
}

std::uint64_t seed(std::string const& key, Json const& value) {
  if (!value.is_number_unsigned()) refuse(key, value, "a whole number, 0 or more");
  return value.get<std::uint64_t>();
}

void read_operations(FaultPlan& plan, std::string const& key, Json const& value) {
  constexpr char const* wanted = "a list of \"put\", \"get\" and \"message\"";
  if (!value.is_array()) refuse(key, value, wanted);
  plan.on_put = plan.on_get = plan.on_message = false;
  for (Json const& name : value) {
    if (name == "put") plan.on_put = true;
    else if (name == "get") plan.on_get = true;
    else if (name == "message") plan.on_message = true;
    else refuse(key, value, wanted);
  }
}

void read_steps(FaultPlan& plan, std::string const& key, Json const& value) {
  bool const good = value.is_array() && value.size() == 2 && value[0].is_number_unsigned() && value[1].is_number_unsigned() &&
                    value[0].get<std::int64_t>() <= value[1].get<std::int64_t>();
  if (!good) refuse(key, value, "[first step, step after the last one]");
  plan.first_step = value[0].get<std::int64_t>();
  plan.last_step = value[1].get<std::int64_t>();
}

using ReadKey = std::function<void(FaultPlan&, std::string const&, Json const&)>;

ReadKey probability(double FaultPlan::*field) {
  return [field](FaultPlan& plan, std::string const& key, Json const& value) { plan.*field = number(key, value, 1, "a probability from 0 to 1"); };
}
ReadKey duration(double FaultPlan::*field) {
  return [field](FaultPlan& plan, std::string const& key, Json const& value) { plan.*field = number(key, value, 1e12, "a time, 0 or more"); };
}

std::map<std::string, ReadKey> const& keys() {
  static std::map<std::string, ReadKey> const table{
      {"seed", [](FaultPlan& plan, std::string const& key, Json const& value) { plan.seed = seed(key, value); }},
      {"drop", probability(&FaultPlan::drop)},
      {"delay", probability(&FaultPlan::delay)},
      {"duplicate", probability(&FaultPlan::duplicate)},
      {"reorder", probability(&FaultPlan::reorder)},
      {"flip", probability(&FaultPlan::flip)},
      {"truncate", probability(&FaultPlan::truncate)},
      {"stall", probability(&FaultPlan::stall)},
      {"delay_us", duration(&FaultPlan::delay_us)},
      {"stall_ms", duration(&FaultPlan::stall_ms)},
      {"on", read_operations},
      {"steps", read_steps},
  };
  return table;
}

}  // namespace

FaultPlan parse_fault_plan(std::string const& json_text) {
  Json const json = Json::parse(json_text, nullptr, false);
  if (!json.is_object()) throw InputError("not a JSON object; write for example {\"seed\": 1, \"drop\": 0.01}");
  FaultPlan plan;
  for (auto const& [key, value] : json.items()) {
    auto const known = keys().find(key);
    if (known == keys().end()) {
      std::vector<std::string> names;
      for (auto const& entry : keys()) names.push_back(entry.first);
      throw InputError(fmt::format("there is no key \"{}\"; choose from: {}", key, fmt::join(names, ", ")));
    }
    known->second(plan, key, value);
  }
  double const sum = plan.drop + plan.delay + plan.duplicate + plan.reorder + plan.flip + plan.truncate + plan.stall;
  if (sum > 1) throw InputError(fmt::format("the probabilities add up to {}, but an operation suffers at most one fault; keep the sum at 1 or less", sum));
  return plan;
}

}  // namespace pikv::comm
