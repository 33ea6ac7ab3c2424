#include "runtime/analyze/report.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>

#include "runtime/analyze/events.hpp"
#include "runtime/analyze/quantity.hpp"

namespace pikv::runtime::analyze {
namespace {

constexpr std::size_t most_ranks = 8;   // with a row of their own
constexpr std::size_t most_advice = 3;

template <typename Enum, typename Array>
auto at(Array const& values, Enum which) {
  return values[static_cast<std::size_t>(which)];
}

std::string cut(std::string const& text, std::size_t length) { return text.size() <= length ? text : text.substr(0, length - 3) + "..."; }

std::string job(Trace const& trace, Figures const& figures) {
  std::string text =
      fmt::format("trace       {}{}\n", trace.path.string(), trace.whole ? "" : ": of a job that did not end, as far as it was flushed");
  if (!trace.ended.empty()) text += fmt::format("ended       {}\n", trace.ended);
  if (!trace.resumed_from.empty()) text += fmt::format("resumed     from {}\n", trace.resumed_from);
  text += fmt::format("command     {}\n", cut(trace.command_line, 150));
  text += fmt::format("run         {}, pikv {}, {} on {}\n", trace.started, trace.version, count_text(trace.ranks.size(), "rank"),
                      count_text(static_cast<std::uint64_t>(trace.hosts), "host"));
  text += fmt::format("model       {}, {} parameters, {} layers\n", text_in(trace.model, "architecture"), number_in(trace.model, "parameters", 0),
                      number_in(trace.model, "layers", 0));
  std::map<std::string, int> finished;
  for (auto const& request : trace.requests) ++finished[std::string{text_of(request.finish)}];
  std::string ends;
  for (auto const& [finish, count] : finished) ends += fmt::format("{}{} {}", ends.empty() ? ": " : ", ", count, finish);
  text += fmt::format("work        {} ended{}; {} tokens read, {} generated in {}", count_text(trace.requests.size(), "request"), ends,
                      figures.prompt_tokens, figures.generated, count_text(static_cast<std::uint64_t>(figures.steps), "step"));
  if (!trace.whole) return text + fmt::format(", with {} decode and {} prompt rows\n", figures.all.rows_decode, figures.all.rows_prefill);
  if (clock_is_virtual(trace)) return text + "; no speeds: the clock is virtual\n";
  if (figures.seconds > 0)
    text += fmt::format(", {}: {:.1f} tokens/s", seconds_text(figures.seconds), static_cast<double>(figures.generated) / figures.seconds);
  return text + '\n';
}

std::string latency(Trace const& trace, Figures const& figures) {
  if (clock_is_virtual(trace)) return "\n";
  std::string text = "latency     p50, p95, p99";
  for (auto const& [name, found] : {std::pair{"first token", figures.ttft_s}, std::pair{"per token", figures.tpot_s}})
    text += found ? fmt::format("; {}: {}, {}, {}", name, seconds_text(found->p50), seconds_text(found->p95), seconds_text(found->p99))
                  : fmt::format("; {}: n/a", name);
  return text + "\n\n";
}

/// The ranks that get a row: all, or those with the most of `value`.
std::vector<std::size_t> rows_for(Figures const& figures, auto const& value) {
  std::vector<std::size_t> ranks(figures.ranks.size());
  std::iota(ranks.begin(), ranks.end(), std::size_t{0});
  if (ranks.size() <= most_ranks) return ranks;
  std::ranges::stable_sort(ranks, std::greater{}, [&](std::size_t rank) { return value(figures.ranks[rank]); });
  ranks.resize(most_ranks);
  return ranks;
}

std::string left_out(Figures const& figures) {
  if (figures.ranks.size() <= most_ranks) return "";
  return fmt::format("  ... and {} ranks with less; --csv has all\n", figures.ranks.size() - most_ranks);
}

std::string stage_header() {
  std::string text = fmt::format("{:<15}", "time");
  for (std::size_t s = 0; s < stages; ++s) text += fmt::format("{:>14}", to_string(static_cast<Stage>(s)));
  return text + fmt::format("{:>11}   {}\n", "sum", "busiest in");
}

std::string time(Trace const& trace, Figures const& figures) {
  std::string text = stage_header();
  for (auto const rank : rows_for(figures, [](RankFigures const& r) { return r.sums.busy_s(); })) {
    auto const& found = figures.ranks[rank];
    text += fmt::format("  {:<13}", fmt::format("rank {}", rank));
    for (double const seconds : found.sums.stage_s) text += fmt::format("{:>14}", seconds_text(seconds));
    text += fmt::format("{:>11}   {}\n", seconds_text(found.sums.seconds()), count_text(static_cast<std::uint64_t>(found.steps_slowest), "step"));
  }
  text += left_out(figures) + fmt::format("  {:<13}", "share");
  for (double const seconds : figures.all.stage_s) text += fmt::format("{:>14}", share_text(share_of(seconds, figures.all.seconds())));
  text += '\n';
  if (clock_is_virtual(trace)) text += "  ranks took turns in one process, and their waiting for a turn counts as communication\n";
  return text;
}

std::string stragglers(Figures const& figures) {
  if (figures.ranks.size() < 2) return "\n";
  std::string text = fmt::format("stragglers  waiting for the busiest rank of each step took {} of all time\n", share_text(figures.waiting_share));
  if (figures.stragglers.empty()) text += "  no stage takes a rank a tenth longer than the others and 1 % of the run\n";
  for (std::size_t i = 0; i < std::min<std::size_t>(figures.stragglers.size(), 4); ++i) {
    auto const& s = figures.stragglers[i];
    text += fmt::format("  {:<13}{:<14}{} more than the others' mean of {} ({})\n", fmt::format("rank {}", s.rank), to_string(s.stage),
                        seconds_text(s.seconds - s.others_s), seconds_text(s.others_s),
                        s.others_s > 0 ? fmt::format("{:.2f} times", s.seconds / s.others_s) : "which have none");
  }
  return text + '\n';
}

std::string loads_over_ranks(Figures const& figures) {
  std::string text = fmt::format("{:<15}{:>14}{:>11}   coefficient of variation over ranks: run", "loads", "sum", "max/mean");
  for (std::size_t quarter = 1; quarter <= figures.quarters.size(); ++quarter) text += fmt::format("{:>9}", fmt::format("part {}", quarter));
  text += '\n';
  auto const line = [&](Load load, char const* what, std::string const& sum) {
    text += fmt::format("  {:<13}{:>14}{:>11.2f}   {:<27}{:>14}", to_string(load), sum, at(figures.max_over_mean, load), what,
                        share_text(at(figures.variation, load)));
    for (auto const& quarter : figures.quarters) text += fmt::format("{:>9}", share_text(at(quarter.variation, load)));
    text += '\n';
  };
  double memory = 0;
  for (auto const& rank : figures.ranks) memory += at(rank.load, Load::memory);
  line(Load::expert, "(page reads)", fmt::format("{}", figures.all.count(&StepRecord::pages_read)));
  line(Load::memory, "(KV bytes, mean over steps)", bytes_text(memory));
  line(Load::communication, "(bytes to other ranks)", bytes_text(static_cast<double>(figures.all.bytes_to_others())));
  auto const& to = figures.all.bytes_by_locality;
  double const all = std::accumulate(to.begin(), to.end(), 0.0);
  auto const part = [&](Locality where) {
    auto const bytes = static_cast<double>(at(to, where));
    return fmt::format("{} ({})", bytes_text(bytes), share_text(share_of(bytes, all)));
  };
  return text + fmt::format("  locality     inside a rank {}, to the same host {}, to other hosts {}\n\n", part(Locality::rank), part(Locality::node),
                            part(Locality::remote));
}

std::string cache(Figures const& figures) {
  auto const n = [&](std::uint32_t StepRecord::*of) { return figures.all.count(of); };
  auto const reads = static_cast<double>(n(&StepRecord::pages_read));
  return fmt::format("cache       {}, hit rate {}; {} from replicas, {} fetched, {} sealed, {} pushed\n\n",
                     count_text(n(&StepRecord::pages_read), "page read"),
                     share_text(share_of(reads - static_cast<double>(n(&StepRecord::lost) + n(&StepRecord::tier_reads)), reads)),
                     share_text(share_of(static_cast<double>(n(&StepRecord::replica_hits)), reads)), n(&StepRecord::pages_fetched),
                     n(&StepRecord::pages_sealed), n(&StepRecord::pages_pushed));
}

std::string traffic(Figures const& figures) {
  std::string text = fmt::format("{:<15}", "traffic");
  for (std::size_t p = 0; p < purposes; ++p) text += fmt::format("{:>11}", to_string(static_cast<Purpose>(p)));
  text += fmt::format("   |{:>11}{:>11}{:>11}\n", "itself", "same host", "elsewhere");
  auto const line = [&](std::string const& name, Sums const& sums) {
    text += fmt::format("  {:<13}", name);
    for (auto const bytes : sums.bytes) text += fmt::format("{:>11}", bytes_text(static_cast<double>(bytes)));
    text += "   |";
    for (auto const bytes : sums.bytes_by_locality) text += fmt::format("{:>11}", bytes_text(static_cast<double>(bytes)));
    text += '\n';
  };
  for (auto const rank : rows_for(figures, [](RankFigures const& r) { return r.sums.bytes_to_others(); }))
    line(fmt::format("rank {}", rank), figures.ranks[rank].sums);
  text += left_out(figures);
  line("all", figures.all);
  return text + '\n';
}

std::string pages(Trace const& trace) {
  if (trace.pages_by_owner.empty() || trace.ranks.size() < 2 || trace.ranks.size() > most_ranks) return "";
  auto const last = std::ranges::max(trace.pages_by_owner, {}, &PagesByOwner::step).step;
  std::map<std::pair<std::int32_t, std::int32_t>, std::uint64_t> by_pair;
  for (auto const& row : trace.pages_by_owner)
    if (row.step == last) by_pair[{row.owner, row.home}] = row.pages;
  std::string text = fmt::format("{:<15}at the end of step {}, stored by the rank of the row, of streams of\n  {:<13}", "pages", last, "");
  auto const ranks = static_cast<std::int32_t>(trace.ranks.size());
  for (std::int32_t home = 0; home < ranks; ++home) text += fmt::format("{:>11}", fmt::format("rank {}", home));
  text += '\n';
  for (std::int32_t owner = 0; owner < ranks; ++owner) {
    text += fmt::format("  {:<13}", fmt::format("rank {}", owner));
    for (std::int32_t home = 0; home < ranks; ++home) text += fmt::format("{:>11}", by_pair[{owner, home}]);
    text += '\n';
  }
  return text + '\n';
}

std::string memory(Trace const& trace, Figures const& figures) {
  std::string text = fmt::format("{:<15}", "KV memory");
  for (auto const& quarter : figures.quarters) text += fmt::format("{:>14}", fmt::format("step {}", quarter.last_step));
  text += "   all ranks, at the end of the step\n";
  for (std::size_t c = 0; c < shards::memory_categories; ++c) {
    text += fmt::format("  {:<13}", to_string(static_cast<shards::Memory>(c)));
    for (auto const& quarter : figures.quarters) text += fmt::format("{:>14}", bytes_text(static_cast<double>(quarter.memory[c])));
    text += '\n';
  }
  text += fmt::format("  {:<13}", "tokens");
  for (auto const& quarter : figures.quarters) text += fmt::format("{:>14}", quarter.tokens_resident);
  auto const used = [&](std::size_t rank) { return static_cast<double>(figures.ranks[rank].memory_peak_bytes); };
  std::size_t fullest = 0;
  for (std::size_t rank = 0; rank < figures.ranks.size(); ++rank) fullest = used(rank) > used(fullest) ? rank : fullest;
  return text + fmt::format("\n  fullest      rank {}: {} at its peak, {} of what it may use\n\n", fullest, bytes_text(used(fullest)),
                            share_text(share_of(used(fullest), static_cast<double>(trace.ranks[fullest].kv_capacity_bytes))));
}

std::string integrity(Trace const& trace, Figures const& figures) {
  auto const n = [&](std::uint32_t StepRecord::*of) { return figures.all.count(of); };
  std::string text =
      fmt::format("integrity   {} checked ({} in the background): {} corrupt, {} stale, {} lost, {} timed out, {} fetched again, {}\n",
                  count_text(n(&StepRecord::checked), "page"), n(&StepRecord::scrubbed), n(&StepRecord::corrupt), n(&StepRecord::stale),
                  n(&StepRecord::lost),
                  n(&StepRecord::timeout), n(&StepRecord::refetched), count_text(n(&StepRecord::rewinds), "rewind"));
  std::string kinds;
  for (std::size_t i = 0; i < std::size(comm::fault_kinds); ++i) {
    std::uint64_t times = 0;
    for (auto const& row : trace.faults) times += row.times[i];
    if (times > 0) kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", times, comm::fault_kinds[i].name);
  }
  return text + (kinds.empty() ? "" : fmt::format("faults      made by --fault-plan: {}\n", kinds)) + '\n';
}

std::string events(Trace const& trace) {
  auto const figures = event_figures(trace);
  if (!figures) return "";
  std::string kinds;
  for (std::size_t kind = 0; kind < figures->kinds.size(); ++kind) {
    std::uint64_t times = 0;
    for (auto const& rank : figures->by_rank) times += rank[kind];
    if (times > 0) kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", times, figures->kinds[kind]);
  }
  if (kinds.empty()) return fmt::format("events      none{}\n\n", number_in(trace.options, "trace-events", 1) == 0 ? ": --trace-events 0" : "");
  std::string text = fmt::format("events      {}\n", kinds);
  if (figures->dropped > 0) text += fmt::format("  {} more found no room; a larger --trace-events keeps them\n", figures->dropped);
  if (figures->busiest) text += fmt::format("  the page with the most: --explain {}\n", to_string(*figures->busiest));
  return text + '\n';
}

std::string change(std::vector<Advice> const& advice) {
  if (advice.empty()) return "change      nothing stands out (docs/analyze.md lists what is looked at)\n";
  std::string text = "change      most worth it first\n";
  for (std::size_t i = 0; i < std::min(advice.size(), most_advice); ++i)
    text += fmt::format("  {}. {}: {}.\n     Try: {}.\n", i + 1, advice[i].rule, advice[i].finding, advice[i].change);
  return text;
}

}   // namespace

std::string report_text(Trace const& trace, Figures const& figures, std::vector<Advice> const& advice) {
  std::string text = job(trace, figures);
  if (trace.steps.empty()) return text + "\nno step was flushed, so there is nothing to analyze\n";
  return text + latency(trace, figures) + time(trace, figures) + stragglers(figures) + loads_over_ranks(figures) + cache(figures) + traffic(figures) +
         pages(trace) + memory(trace, figures) + integrity(trace, figures) + events(trace) + change(advice);
}

}   // namespace pikv::runtime::analyze
