#include "runtime/analyze/explain.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "comm/error.hpp"

namespace pikv::runtime::analyze {
namespace {

struct Meaning {
  char const* kind;
  char const* words;
};
constexpr Meaning meanings[] = {{"seal", "it is full: its checksums are made"},
                                {"place", "the peer is to own it"},
                                {"push", "written into the peer's slot"},
                                {"index", "verified by its owner, which serves it from now on"},
                                {"acknowledge", "the peer has it: the home's copy is freed"},
                                {"fetch", "a copy is got from the peer"},
                                {"hit", "read at the peer (a sample of all reads)"},
                                {"miss", "a read found it nowhere"},
                                {"stale", "the peer's slot does not hold it any more"},
                                {"evict", "dropped by its owner"},
                                {"migrate", "the peer owns it now"},
                                {"corrupt", "its bytes are not those that were sealed"},
                                {"rewind", "dropped with all blocks behind it, to be computed again"},
                                {"release", "its request has ended"},
                                {"restore", "read from a checkpoint"},
                                {"demote", "moved to a slower tier of its home"},
                                {"promote", "moved to a faster tier of its home"},
                                {"recode", "it is cold, and stored in fewer bytes"}};

char const* words_for(std::string const& kind) {
  auto const found = std::ranges::find(meanings, kind, &Meaning::kind);
  return found == std::end(meanings) ? "" : found->words;
}

std::string or_none(std::int32_t number) { return number < 0 ? "-" : std::to_string(number); }
std::string or_none(std::uint64_t number) { return number == 0 ? "-" : std::to_string(number); }

/// When the step began on that rank; the empty text where the trace does not have the row or its clock is virtual.
std::string moment(Trace const& trace, shards::PageEventRow const& event) {
  auto const key = [](auto const& row) { return std::pair{row.step, row.rank}; };
  auto const row = std::ranges::lower_bound(trace.steps, key(event), {}, key);
  bool const known = row != trace.steps.end() && key(*row) == key(event) && !clock_is_virtual(trace);
  return known ? fmt::format("{:.6f}", row->begin) : "";
}

std::string request_of(Trace const& trace, shards::StreamId const& stream) {
  for (auto const& request : trace.requests)
    if (request.stream_hi == stream.hi && request.stream_lo == stream.lo)
      return fmt::format("request     {}, of {} and {} tokens, decoded by rank {}\n", text_of(request.id), request.prompt_tokens, request.generated,
                         request.home);
  return "";   // it had not ended
}

std::string line(auto const&... cells) {
  return fmt::format("{:>10}{:>14}{:>6}   {:<12}{:>6}{:>8}{:>12}{:>11}   {}\n", cells...);
}

}   // namespace

std::string explain(Trace const& trace, PageName const& page) {
  if (!trace.events)
    throw RunError(
        fmt::format("{} has no page events, so it cannot explain a page; make a trace with a pikv that writes /events", trace.path.string()));
  std::string lines;
  std::map<std::string, int> times;
  for (auto const& event : trace.events->rows) {
    if (!is_of(event, page)) continue;
    auto const kind = kind_of(*trace.events, event);
    ++times[kind];
    lines += line(event.step, moment(trace, event), event.rank, kind, or_none(event.peer), or_none(event.slot), or_none(event.generation),
                  or_none(event.bytes), words_for(kind));
  }
  bool const known = std::ranges::any_of(trace.events->rows, [&](auto const& row) { return row.layer == page.layer && is_of(row, page); });
  if (!known)
    throw RunError(fmt::format("{} has no event of block {} in layer {} of stream {}; its /events lists the pages it knows", trace.path.string(),
                               page.block, page.layer, to_string(page.stream)));
  std::string sums;
  for (auto const& [kind, count] : times) sums += fmt::format("{}{} {}", sums.empty() ? "" : ", ", count, kind);
  return fmt::format("page        block {} in layer {} of stream {}\n{}events      {}\n\n", page.block, page.layer, to_string(page.stream),
                     request_of(trace, page.stream), sums) +
         line("step", "at, s", "rank", "event", "peer", "slot", "generation", "bytes", "") + lines;
}

}   // namespace pikv::runtime::analyze
