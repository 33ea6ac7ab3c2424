#include "jobs/replay_options.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <span>
#include <system_error>
#include <utility>

#include "comm/error.hpp"
#include "runtime/given.hpp"
#include "runtime/output_file.hpp"
#include "runtime/replay/policies.hpp"
#include "runtime/replay/results.hpp"
#include "runtime/units.hpp"

namespace pikv::jobs {
namespace {

namespace replay = runtime::replay;
using runtime::Given;
using runtime::GivenOptions;
using runtime::OptionSpec;

std::vector<OptionSpec> const of_replay{
    {"policy", "NAME[,NAME..]", std::string{replay::default_policy}, "what decides which page goes; lru and belady are always beside it"},
    {"capacity", "PAGES[,PAGES..]", "", "places of the cache (default: a 64th, 16th, 4th and half of the trace's pages)"},
    {"csv", "FILE", "", "the table: policy,capacity,reads,hits,misses,hit_rate,prefix_hits"},
    {"curve", "FILE", "", "what lru hits at every capacity: capacity,hits,hit_rate,prefix_hits"},
    {"report", "FILE", "", "the table as JSON"},
    {"generate", "FILE", "", "makes a trace instead of replaying one, with the options that follow"},
};
std::vector<OptionSpec> const of_generate{
    {"requests", "N", "1000", "how many"},
    {"seed", "N", "0", "the same seed gives the same trace"},
    {"prefixes", "N", "100", "beginnings that sessions share: system prompts, documents"},
    {"zipf", "X", "1", "the i-th prefix begins a session with a probability ~ i^-X"},
    {"turns", "X", "3", "of a session, mean; a turn's input is all that was said before and new tokens"},
    {"prefix-tokens", "X", "2048", "of a prefix, mean"},
    {"input-tokens", "X", "512", "new in a turn, mean"},
    {"output-tokens", "X", "256", "of an answer, mean"},
    {"rate", "X", "1", "requests a second, mean"},
    {"think", "TIME", "30s", "from one turn of a session to its next, mean"},
};
OptionSpec const config{"config", "FILE", "",
                        "options as lines of NAME = VALUE; the command line goes before the environment, the environment before the file"};

std::vector<OptionSpec> all_specs() {
  auto specs = of_replay;
  specs.insert(specs.end(), of_generate.begin(), of_generate.end());
  specs.push_back(config);
  return specs;
}

Given const* find(GivenOptions const& given, std::string_view name) {
  auto const found = given.find(name);
  return found == given.end() ? nullptr : &found->second;
}

std::vector<Given> parts_of(Given const& list) {
  std::vector<Given> parts;
  std::string_view rest = list.value;
  for (;;) {
    auto const comma = rest.find(',');
    parts.push_back({std::string{rest.substr(0, comma)}, list.said});
    if (comma == std::string_view::npos) return parts;
    rest.remove_prefix(comma + 1);
  }
}

std::string file(GivenOptions const& given, char const* name) {
  auto const* const said = find(given, name);
  if (said == nullptr) return "";
  if (said->value.empty()) throw InputError(fmt::format("{} names no file; give one", said->said));
  return said->value;
}

std::vector<std::string> policies(Given const& given) {
  std::vector<std::string> names, asked;
  for (auto const& [name, policy] : replay::policies()) names.push_back(name);
  for (Given const& part : parts_of(given)) {
    if (!replay::policies().contains(part.value))
      throw InputError(fmt::format("{}: no policy that can be replayed is named '{}'{}; choose from: {}", given.said, part.value,
                                   runtime::did_you_mean(part.value, names), fmt::join(names, ", ")));
    asked.push_back(part.value);
  }
  return asked;
}

std::vector<replay::Page> capacities(Given const& given) {
  std::vector<replay::Page> pages;
  for (Given const& part : parts_of(given))
    pages.push_back(static_cast<replay::Page>(runtime::whole_number(part, 1, std::numeric_limits<replay::Page>::max())));
  std::ranges::sort(pages);
  pages.erase(std::unique(pages.begin(), pages.end()), pages.end());
  return pages;
}

replay::Workload workload(GivenOptions const& given) {
  constexpr double most_mean = replay::most_input_tokens;
  replay::Workload made;
  auto const real = [&](char const* name, double least, double most, double& value) {
    if (auto const* const said = find(given, name)) value = runtime::real_number(*said, least, most);
  };
  if (auto const* const said = find(given, "requests")) made.requests = runtime::whole_number(*said, 1, 10'000'000);
  if (auto const* const said = find(given, "seed")) made.seed = runtime::seed_number(*said);
  if (auto const* const said = find(given, "prefixes")) made.prefixes = runtime::whole_number(*said, 1, 10'000'000);
  if (auto const* const said = find(given, "think")) made.think_s = runtime::seconds(*said);
  real("zipf", 0, 10, made.zipf);
  real("turns", 1, 1000, made.turns);
  real("prefix-tokens", 0, most_mean, made.prefix_tokens);
  real("input-tokens", 0, most_mean, made.input_tokens);
  real("output-tokens", 0, most_mean, made.output_tokens);
  real("rate", 1e-6, 1e6, made.rate);
  return made;
}

/// Options of the mode that was not chosen have no effect.
void check_effects(GivenOptions const& given, bool generates) {
  for (OptionSpec const& spec : generates ? of_replay : of_generate)
    if (auto const* const said = find(given, spec.name); said != nullptr && spec.name != "generate")
      throw InputError(fmt::format("{} has no effect {} --generate FILE; {}", said->said, generates ? "with" : "without",
                                   generates ? "replay the trace when it is made" : "add that, or leave it out"));
}

/// Before work starts: the outputs can be made, are different files and not the trace.
void check_files(ReplayOptions const& options) {
  std::pair<char const*, std::string const*> const outputs[] = {{"--csv", &options.csv}, {"--curve", &options.curve}, {"--report", &options.report}};
  for (auto const& [option, name] : outputs) {
    std::error_code apart;   // a file that does not exist is no other's
    if (!name->empty() && std::filesystem::equivalent(*name, options.trace, apart))
      throw InputError(fmt::format("{}={} would overwrite the trace; give another name", option, *name));
    for (auto const& [other, same] : outputs)
      if (other != option && !name->empty() && *name == *same)
        throw InputError(fmt::format("{}={} and {}={} are one file; give another name", option, *name, other, *same));
  }
  for (auto const& [option, name] : outputs)
    if (!name->empty()) {
      runtime::open_part(*name, option);
      std::filesystem::remove(runtime::part_of(*name));
    }
}

}   // namespace

ReplayOptions replay_options(Arguments args) {
  auto const specs = all_specs();
  std::vector<std::string> words{args.begin(), args.end()};
  ReplayOptions options;
  options.trace = runtime::take_operand(specs, words);
  auto const given = runtime::read_given("replay", specs, words);
  options.generate = file(given, "generate");
  check_effects(given, !options.generate.empty());
  if (!options.generate.empty() && !options.trace.empty())
    throw InputError(fmt::format("--generate={} makes a trace and {} is one to replay; keep one of the two", options.generate, options.trace));
  if (options.generate.empty() && options.trace.empty())
    throw InputError("`pikv replay` needs a trace; write pikv replay TRACE, JSON lines of requests or what --trace of `pikv generate` wrote");
  options.csv = file(given, "csv");
  options.curve = file(given, "curve");
  options.report = file(given, "report");
  auto const* const policy = find(given, "policy");
  options.policies = policies(policy != nullptr ? *policy : Given{of_replay.front().initial, "the default"});
  if (auto const* const said = find(given, "capacity")) options.capacities = capacities(*said);
  options.workload = workload(given);
  check_files(options);
  return options;
}

std::string replay_options_help() {
  std::string text =
      runtime::options_help(of_replay) + runtime::options_help(of_generate) + runtime::options_help(std::span{&config, 1}) + "\nPolicies:\n";
  for (auto const& [name, policy] : replay::policies()) text += fmt::format("  {:<16} {}\n", name, policy.sentence);
  return text;
}

}   // namespace pikv::jobs
