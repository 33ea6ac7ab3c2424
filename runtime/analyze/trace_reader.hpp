#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/attributes.hpp"
#include "runtime/trace_rows.hpp"

namespace pikv::runtime::analyze {

/// What happened to pages (/events).
struct Events {
  std::vector<shards::PageEventRow> rows;      // in the order of steps, within a step of ranks, within a rank as they happened
  std::map<std::int64_t, std::string> kinds;   // as the trace names them: of every row
};
std::string kind_of(Events const& events, shards::PageEventRow const& event);

/// A trace in memory (docs/trace.md says what the rows mean). Rows are whole: ranks are those of the job, steps are not negative and
/// moments are finite.
struct Trace {
  std::filesystem::path path;
  bool whole = true;   // false: NAME.part, what a job that did not end had flushed
  std::string version, commit, command_line, started;
  std::string ended, resumed_from;   // how the job ended, and from which checkpoint it went on; empty where the trace does not say
  std::int64_t hosts = 1;
  Attributes options, model, libraries;
  std::vector<RankRecord> ranks;         // by rank
  std::vector<RequestRecord> requests;   // by index
  std::vector<StepRecord> steps;         // by step, then rank
  std::vector<PagesByOwner> pages_by_owner;
  std::vector<FaultRecord> faults;   // what a fault plan did
  std::optional<Events> events;      // none in format 2
};

std::int64_t number_in(Attributes const& attributes, std::string_view name, std::int64_t otherwise);
std::string text_in(Attributes const& attributes, std::string_view name);   // empty if missing
/// In process the job's clock stands still while ranks compute.
inline bool clock_is_virtual(Trace const& trace) { return number_in(trace.options, "in-process", 0) > 0; }

/// Serial HDF5; formats 2 (fields that it did not have are 0, `lost` is `stale`) and 3. Throws RunError, one sentence that names the file,
/// whatever is wrong with it: missing, a folder, empty, not HDF5, cut short, of another format, without a table or field, with rows that no
/// job writes. HDF5 1.10 crashes on some damaged files: apart.hpp.
Trace read_trace(std::filesystem::path const& path);

/// A text field of a row, without its padding.
template <std::size_t N>
std::string_view text_of(FixedText<N> const& text) {
  std::string_view const all{text.data(), N};
  return all.substr(0, all.find('\0'));
}

}   // namespace pikv::runtime::analyze
