#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/command.hpp"
#include "jobs/replay_options.hpp"
#include "runtime/apart.hpp"
#include "runtime/build_info.hpp"
#include "runtime/output_file.hpp"
#include "runtime/replay/event_trace.hpp"
#include "runtime/replay/request_trace.hpp"
#include "runtime/replay/results.hpp"
#include "runtime/replay/stack_distance.hpp"

namespace pikv::jobs {
namespace {

namespace fs = std::filesystem;
namespace replay = runtime::replay;

bool is_pikv_trace(fs::path const& path) {
  if (path.extension() == ".h5" || path.extension() == ".part") return true;
  constexpr std::string_view signature = "\x89HDF\r\n\x1a\n";
  std::array<char, signature.size()> start{};
  std::ifstream{path, std::ios::binary}.read(start.data(), start.size());
  return std::string_view{start.data(), start.size()} == signature;
}

replay::Reads read_pikv_trace(fs::path const& path) {
  runtime::run_apart_on(path, "--trace", [&] { (void)runtime::analyze::read_trace(path); });   // a damaged one may crash HDF5
  return replay::read_events(runtime::analyze::read_trace(path));
}

std::vector<replay::Page> parts_of(replay::Page pages) {
  std::vector<replay::Page> parts{pages / 64, pages / 16, pages / 4, pages / 2};
  for (replay::Page& part : parts) part = std::max(part, 1);
  parts.erase(std::unique(parts.begin(), parts.end()), parts.end());
  return parts;
}

void write_file(std::string const& name, std::string const& option, std::string const& text) {
  if (name.empty()) return;
  runtime::OutputFile file{name, option};
  file.write(text);
  file.commit();
}

std::string about(std::string const& trace, bool sampled, replay::Reads const& reads) {
  auto const again = static_cast<std::int64_t>(reads.pages.size()) - reads.distinct;
  auto text = fmt::format("{}: {} requests, {} page reads of {} pages", trace, reads.ends.size(), reads.pages.size(), reads.distinct);
  if (!reads.pages.empty())
    text +=
        fmt::format("; {:.2f} % of the reads are not a page's first", 100. * static_cast<double>(again) / static_cast<double>(reads.pages.size()));
  if (sampled)
    text +=
        "\nThe reads are the sample that `pikv generate` wrote down (docs/trace.md), a request is what a rank read in a step: rates are those of the "
        "sample.";
  return text;
}

nlohmann::ordered_json facts(std::string const& trace, bool sampled, replay::Reads const& reads) {
  return {{"path", trace}, {"sampled", sampled}, {"requests", reads.ends.size()}, {"reads", reads.pages.size()}, {"pages", reads.distinct}};
}

void replay_trace(ReplayOptions const& options) {
  bool const sampled = is_pikv_trace(options.trace);
  auto const reads = sampled ? read_pikv_trace(options.trace) : replay::read_requests(fs::path{options.trace});
  auto const results = replay::replay_all(reads, options.policies, options.capacities.empty() ? parts_of(reads.distinct) : options.capacities);
  write_file(options.csv, "--csv", replay::csv_of(results));
  if (!options.curve.empty())
    write_file(options.curve, "--curve", replay::csv_of(replay::lru_curve(reads), static_cast<std::int64_t>(reads.pages.size())));
  nlohmann::ordered_json const report{
      {"version", runtime::version()}, {"trace", facts(options.trace, sampled, reads)}, {"results", replay::json_of(results)}};
  write_file(options.report, "--report", report.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n');
  fmt::print("{}\n\n{}", about(options.trace, sampled, reads), replay::table_text(results));
}

void generate_trace(ReplayOptions const& options) {
  runtime::OutputFile file{options.generate, "--generate"};
  replay::generate(options.workload, [&](std::string_view line) { file.write(fmt::format("{}\n", line)); });
  file.commit();
  fmt::print("{}: {} requests\n", options.generate, options.workload.requests);
}

}   // namespace

int replay(Arguments args) {
  return run_on_rank_0([&] {
    auto const options = replay_options(args);
    if (options.generate.empty())
      replay_trace(options);
    else
      generate_trace(options);
  });
}

std::string replay_help() {
  return "Usage: pikv replay TRACE [OPTIONS]\n"
         "       pikv replay --generate FILE [OPTIONS]\n\n"
         "Reads the pages of a trace through caches of several policies and capacities and counts hits. TRACE is JSON lines of requests\n"
         "{\"timestamp\": ms, \"input_length\", \"output_length\", \"hash_ids\": [..]}, or what --trace of `pikv generate` wrote "
         "(docs/replay.md).\n\n" +
         replay_options_help() + "\nExit codes: 0 done; 1 the trace cannot be read; 2 a bad option.\n";
}

}   // namespace pikv::jobs
