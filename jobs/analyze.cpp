#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "comm/error.hpp"
#include "jobs/command.hpp"
#include "runtime/apart.hpp"
#include "runtime/analyze/csv.hpp"
#include "runtime/analyze/explain.hpp"
#include "runtime/analyze/json.hpp"
#include "runtime/analyze/perfetto.hpp"
#include "runtime/analyze/replan.hpp"
#include "runtime/analyze/report.hpp"
#include "runtime/analyze/tables.hpp"
#include "runtime/given.hpp"
#include "runtime/output_file.hpp"
#include "runtime/units.hpp"

namespace pikv::jobs {
namespace {

using runtime::OptionSpec;

std::vector<OptionSpec> const specs{
    {"json", "FILE", "", "the same and more as one JSON object"},
    {"csv", "DIR", "", "a CSV file per table into this folder, which is made"},
    {"perfetto", "FILE", "", "a time line for ui.perfetto.dev"},
    {"explain", "STREAM:LAYER:BLOCK", "", "prints the life of one page instead of the report; the stream as 32 hexadecimal digits"},
    {"replan", "", "", "makes each plan of the coordinator again from the loads it saw, instead of the report, and says whether it is the same"},
    {"config", "FILE", "", "options as lines of NAME = VALUE; the command line goes before the environment, the environment before the file"},
};

struct AnalyzeOptions {
  std::string trace, json, csv, perfetto, explain;
  bool replan = false;
};

AnalyzeOptions parse(Arguments args) {
  std::vector<std::string> words{args.begin(), args.end()};
  AnalyzeOptions options;
  options.trace = runtime::take_operand(specs, words);
  if (options.trace.empty()) throw InputError("`pikv analyze` needs a trace; write pikv analyze TRACE, the file that --trace of `pikv generate` wrote");
  auto const given = runtime::read_given("analyze", specs, words);
  auto const value = [&](char const* name) {
    auto const found = given.find(name);
    if (found == given.end()) return std::string{};
    if (found->second.value.empty()) throw InputError(fmt::format("{} names no file; give one", found->second.said));
    return found->second.value;
  };
  options.json = value("json");
  options.csv = value("csv");
  options.perfetto = value("perfetto");
  options.explain = value("explain");
  if (auto const found = given.find("replan"); found != given.end()) options.replan = runtime::flag(found->second);
  if (options.replan && !options.explain.empty()) throw InputError("--replan and --explain both print something else than the report; keep one");
  std::error_code apart;   // a file that does not exist is no other's
  for (auto const& [option, file] : {std::pair{"--json", options.json}, std::pair{"--perfetto", options.perfetto}})
    if (!file.empty() && std::filesystem::equivalent(file, options.trace, apart))
      throw InputError(fmt::format("{}={} would overwrite the trace; give another name", option, file));
  if (!options.json.empty() && options.json == options.perfetto)
    throw InputError(fmt::format("--json={0} and --perfetto={0} are one file; give another name", options.json));
  return options;
}

void write_outputs(AnalyzeOptions const& options, runtime::analyze::Trace const& trace, std::vector<runtime::analyze::Table> const& tables) {
  if (!options.json.empty()) {
    runtime::OutputFile file{options.json, "--json"};
    file.write(runtime::analyze::json_of(tables).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n');
    file.commit();
  }
  if (!options.csv.empty()) runtime::analyze::write_csv(options.csv, tables);
  if (!options.perfetto.empty()) {
    runtime::OutputFile file{options.perfetto, "--perfetto"};
    runtime::analyze::write_perfetto(trace, [&](std::string_view packet) { file.write(packet); });
    file.commit();
  }
}

void run(AnalyzeOptions const& options) {
  namespace analyze = runtime::analyze;
  auto const page = options.explain.empty() ? analyze::PageName{} : analyze::parse_page_name(options.explain);
  auto const trace = analyze::read_trace(options.trace);
  auto const figures = analyze::figures_of(trace);
  auto const advice = analyze::advice_for(trace, figures);
  auto const text = options.replan ? analyze::replan(trace) : options.explain.empty() ? analyze::report_text(trace, figures, advice) : analyze::explain(trace, page);
  write_outputs(options, trace, analyze::tables_of(trace, figures, advice));
  fmt::print("{}", text);
  if (options.replan) analyze::check_replanned(trace);
}

}   // namespace

int analyze(Arguments args) {
  return run_on_rank_0([&] {
    auto const options = parse(args);
    runtime::run_apart_on(options.trace, "--trace", [&] { run(options); });
  });
}

std::string analyze_help() {
  return "Usage: pikv analyze TRACE [OPTIONS]\n\n"
         "Reads the trace of a job and prints a page about it: time, stragglers, loads, traffic, memory, and what to change. NAME.part, left\n"
         "by a job that did not end, is read as far as it was flushed.\n\n" +
         runtime::options_help(specs) + "\nExit codes: 0 done; 1 the trace cannot be read, or a page has no events in it; 2 a bad option;\n3 a plan of --replan comes out otherwise.\n";
}

}   // namespace pikv::jobs
