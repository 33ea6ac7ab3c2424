#include "runtime/analyze/trace_reader.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <system_error>
#include <tuple>

#include "comm/error.hpp"
#include "runtime/hdf5/input.hpp"
#include "runtime/trace.hpp"

namespace pikv::runtime::analyze {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t oldest_format = 2;
using Fields = std::vector<std::string>;

[[noreturn]] void refuse(fs::path const& path, std::string const& why) {
  throw RunError(fmt::format("{} {}; give a file that --trace of `pikv generate` wrote", path.string(), why));
}

std::uint64_t bytes_of_file(fs::path const& path) {
  std::error_code trouble;
  auto const kind = fs::status(path, trouble).type();
  if (kind == fs::file_type::not_found) {
    auto const part = path.string() + ".part";
    if (fs::exists(part, trouble)) refuse(path, fmt::format("does not exist, but {} does, from a job that runs or did not end", part));
    refuse(path, "does not exist");
  }
  if (kind == fs::file_type::directory) refuse(path, "is a folder");
  auto const bytes = fs::file_size(path, trouble);
  if (trouble) refuse(path, "is not a file that can be read (" + trouble.message() + ")");
  if (bytes == 0) refuse(path, "is empty");
  return bytes;
}

hdf5::File open_file(fs::path const& path) {
  hid_t const file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  if (file >= 0) return {file, ""};
  std::string const reason = hdf5::failure("be opened as an HDF5 file");
  if (H5Fis_hdf5(path.c_str()) == 0) refuse(path, "is not an HDF5 file");
  refuse(path, reason);
}

std::int64_t format_of(Attributes const& run) {
  auto const format = number_in(run, "format", 0);
  if (format == 0) throw RunError("it does not say its format");
  if (format < oldest_format || format > trace_format)
    throw RunError(fmt::format("its format is {}, and this pikv reads {} to {}", format, oldest_format, trace_format));
  return format;
}

Attributes group_attributes(hid_t file, std::string const& name) {
  if (H5Lexists(file, name.c_str(), H5P_DEFAULT) <= 0) throw RunError("it has no /" + name);
  hdf5::Group const group{H5Gopen2(file, name.c_str(), H5P_DEFAULT), "open /" + name};
  return hdf5::read_attributes(group.get());
}

/// Gives each row to the plan of its step.
template <typename Row>
void add_rows(std::vector<PlanRows>& plans, std::vector<Row> PlanRows::*rows, std::vector<Row> const& table, char const* name) {
  for (Row const& row : table) {
    auto const plan = std::ranges::find(plans, row.step, [](PlanRows const& of) { return of.plan.step; });
    if (plan == plans.end()) throw RunError(fmt::format("/{} has a row of step {}, in which nothing was planned", name, row.step));
    ((*plan).*rows).push_back(row);
  }
}

void read_into(Trace& trace, hid_t file, std::uint64_t file_bytes) {
  Attributes const run = hdf5::read_attributes(file);
  std::int64_t const format = format_of(run);
  bool const has_events = format >= 3;
  Fields not_in_steps;
  if (!has_events) not_in_steps = {"lost", "events_dropped"};
  if (format < 4) not_in_steps.insert(not_in_steps.end(), {"tier_reads", "tier_host_bytes", "tier_file_bytes"});
  trace.version = text_in(run, "version");
  trace.commit = text_in(run, "commit");
  trace.command_line = text_in(run, "command_line");
  trace.started = text_in(run, "started");
  trace.ended = text_in(run, "ended");
  trace.resumed_from = text_in(run, "resumed_from");
  trace.hosts = number_in(run, "hosts", 1);
  trace.options = group_attributes(file, "options");
  trace.model = group_attributes(file, "model");
  trace.libraries = group_attributes(file, "libraries");
  auto const table = [&](char const* name) { return hdf5::TableInput{file, name, file_bytes}; };
  trace.ranks = table("ranks").rows<RankRecord>(rank_rows());
  trace.requests = table("requests").rows<RequestRecord>(request_rows(), has_events ? Fields{} : Fields{"stream_hi", "stream_lo", "generated_before"});
  trace.steps = table("steps").rows<StepRecord>(step_rows(), not_in_steps);
  trace.pages_by_owner = table("pages_by_owner").rows<PagesByOwner>(pages_by_owner_rows());
  trace.faults = table("faults").rows<FaultRecord>(fault_rows());
  if (H5Lexists(file, "plans", H5P_DEFAULT) > 0) {
    for (auto const& row : table("plans").rows<PlanRecord>(plan_rows())) trace.plans.push_back({.plan = row, .loads = {}, .buckets = {}, .places = {}});
    add_rows(trace.plans, &PlanRows::loads, table("plan_loads").rows<PlanLoad>(plan_load_rows()), "plan_loads");
    add_rows(trace.plans, &PlanRows::buckets, table("plan_buckets").rows<PlanBucket>(plan_bucket_rows()), "plan_buckets");
    add_rows(trace.plans, &PlanRows::places, table("plan_places").rows<PlanPlace>(plan_place_rows()), "plan_places");
  }
  if (has_events) {
    auto const events = table("events");
    trace.events = Events{events.rows<shards::PageEventRow>(event_rows()), events.names_of("event")};
  } else {
    for (StepRecord& row : trace.steps) row.lost = row.stale;
  }
  if (number_in(run, "ranks", -1) != static_cast<std::int64_t>(trace.ranks.size())) throw RunError("/ranks does not have a row per rank");
}

/// Throws RunError if a row of `table` does not hold.
template <typename Row>
void check(std::vector<Row> const& rows, char const* table, auto const& holds) {
  auto const wrong = std::ranges::find_if_not(rows, holds);
  if (wrong != rows.end()) throw RunError(fmt::format("row {} of /{} is none that a job writes", wrong - rows.begin(), table));
}

void check_rows(Trace const& trace) {
  auto const is_rank = [&](std::int32_t rank) { return rank >= 0 && static_cast<std::size_t>(rank) < trace.ranks.size(); };
  auto const finite = [](auto... moments) { return (std::isfinite(moments) && ...); };
  check(trace.ranks, "ranks", [&](RankRecord const& row) { return &row - trace.ranks.data() == row.rank; });
  check(trace.requests, "requests",
        [&](RequestRecord const& row) { return is_rank(row.home) && row.generated_before >= 0 && row.generated >= row.generated_before && finite(row.arrival, row.first_token, row.end); });
  check(trace.steps, "steps", [&](StepRecord const& row) {
    return is_rank(row.rank) && row.step >= 0 && finite(row.begin, row.end) && row.begin <= row.end &&
           std::ranges::all_of(row.stage_s, [&](double seconds) { return finite(seconds); });
  });
  check(trace.pages_by_owner, "pages_by_owner", [&](PagesByOwner const& row) { return is_rank(row.owner) && is_rank(row.home); });
  for (PlanRows const& plan : trace.plans) {
    bool const whole = plan.loads.size() == trace.ranks.size() && std::ranges::all_of(plan.loads, [&](PlanLoad const& row) { return &row - plan.loads.data() == row.rank; });
    if (!whole) throw RunError(fmt::format("the plan of step {} does not have the loads of every rank", plan.plan.step));
    check(plan.buckets, "plan_buckets", [&](PlanBucket const& row) { return is_rank(row.rank) && row.bucket >= 0; });
    check(plan.places, "plan_places", [&](PlanPlace const& row) { return is_rank(row.rank) && row.bucket >= 0 && row.part >= 0; });
  }
  check(trace.faults, "faults", [&](FaultRecord const& row) { return is_rank(row.rank); });
  if (trace.events) check(trace.events->rows, "events", [&](shards::PageEventRow const& row) {
      return is_rank(row.rank) && row.step >= 0 && trace.events->kinds.contains(row.event);
    });
}

Trace read_file(fs::path const& path, std::uint64_t bytes) {
  auto file = open_file(path);
  Trace trace;
  trace.path = path;
  trace.whole = path.extension() != ".part";
  try {
    read_into(trace, file.get(), bytes);
    check_rows(trace);
  } catch (RunError const& error) {
    file.abandon();
    refuse(path, std::string{"is no trace that can be read: "} + error.what());
  }
  return trace;
}

void sort_rows(Trace& trace) {
  std::ranges::sort(trace.requests, {}, &RequestRecord::index);
  std::ranges::stable_sort(trace.steps, {}, [](StepRecord const& row) { return std::tuple{row.step, row.rank}; });
  if (trace.events) std::ranges::stable_sort(trace.events->rows, {}, [](shards::PageEventRow const& row) { return std::tuple{row.step, row.rank}; });
}

}   // namespace

std::string kind_of(Events const& events, shards::PageEventRow const& event) {
  return events.kinds.at(event.event);
}

Trace read_trace(fs::path const& path) {
  hdf5::prepare();
  auto const bytes = bytes_of_file(path);
  auto trace = read_file(path, bytes);
  sort_rows(trace);
  return trace;
}

}   // namespace pikv::runtime::analyze
