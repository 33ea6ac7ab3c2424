#include "runtime/analyze/explain.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "comm/error.hpp"

namespace pikv::runtime::analyze {
namespace {

/// The whole of `text` as a number that is not negative.
template <typename Number>
bool read_number(std::string_view text, int base, Number& into) {
  auto const [end, trouble] = std::from_chars(text.data(), text.data() + text.size(), into, base);
  return trouble == std::errc{} && end == text.data() + text.size() && text.front() != '-';
}

std::string name_of(shards::StreamId const& stream) { return fmt::format("{:016x}{:016x}", stream.hi, stream.lo); }

bool is_of(PageEvent const& event, PageName const& page) {
  return event.stream_hi == page.stream.hi && event.stream_lo == page.stream.lo && event.layer == page.layer && event.block == page.block;
}

std::string kind_of(Events const& events, PageEvent const& event) {
  auto const found = events.kinds.find(event.kind);
  return found == events.kinds.end() ? fmt::format("kind {}", event.kind) : found->second;
}

std::string or_none(std::int32_t number) { return number < 0 ? "-" : std::to_string(number); }

/// When the step began on that rank; the empty text where the trace does not have the row or its clock is virtual.
std::string moment(Trace const& trace, PageEvent const& event) {
  auto const key = [](auto const& row) { return std::pair{row.step, row.rank}; };
  auto const row = std::ranges::lower_bound(trace.steps, key(event), {}, key);
  bool const known = row != trace.steps.end() && key(*row) == key(event) && !clock_is_virtual(trace);
  return known ? fmt::format("{:.6f}", row->begin) : "";
}

}   // namespace

PageName parse_page_name(std::string_view text) {
  PageName page;
  auto const first = text.find(':'), second = text.find(':', first + 1);
  bool const three = first == 32 && second != std::string_view::npos && second > first + 1 && second + 1 < text.size();
  if (!three || !read_number(text.substr(0, 16), 16, page.stream.hi) || !read_number(text.substr(16, 16), 16, page.stream.lo) ||
      !read_number(text.substr(first + 1, second - first - 1), 10, page.layer) || !read_number(text.substr(second + 1), 10, page.block))
    throw InputError(fmt::format("--explain={} does not name a page; write STREAM:LAYER:BLOCK, the stream as 32 hexadecimal digits", text));
  return page;
}

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
    lines += fmt::format("{:>10}{:>14}{:>6}   {:<10}{:>7}{:>8}{:>12}\n", event.step, moment(trace, event), event.rank, kind, or_none(event.owner),
                         or_none(event.slot), event.generation);
  }
  if (lines.empty())
    throw RunError(fmt::format("{} has no event of block {} in layer {} of stream {}; its /events lists the pages it knows", trace.path.string(),
                               page.block, page.layer, name_of(page.stream)));
  std::string sums;
  for (auto const& [kind, count] : times) sums += fmt::format("{}{} {}", sums.empty() ? "" : ", ", count, kind);
  return fmt::format("page        block {} in layer {} of stream {}\nevents      {}\n\n{:>10}{:>14}{:>6}   {:<10}{:>7}{:>8}{:>12}\n", page.block,
                     page.layer, name_of(page.stream), sums, "step", "at, s", "rank", "event", "owner", "slot", "generation") +
         lines;
}

}   // namespace pikv::runtime::analyze
