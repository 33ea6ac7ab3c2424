#include "runtime/analyze/events.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <tuple>

#include "comm/error.hpp"

namespace pikv::runtime::analyze {
namespace {

/// The whole of `text` as a number that is not negative.
template <typename Number>
bool read_number(std::string_view text, int base, Number& into) {
  auto const [end, trouble] = std::from_chars(text.data(), text.data() + text.size(), into, base);
  return trouble == std::errc{} && end == text.data() + text.size() && text.front() != '-';
}

std::optional<PageName> busiest_page(Events const& events) {
  std::map<std::tuple<std::uint64_t, std::uint64_t, std::int32_t, std::int32_t>, std::uint64_t> times;
  for (auto const& row : events.rows)
    if (row.layer != shards::every_layer && row.layer != shards::key_of_nothing.layer) ++times[{row.stream_hi, row.stream_lo, row.layer, row.block}];
  auto const most = std::ranges::max_element(times, {}, [](auto const& page) { return page.second; });
  if (most == times.end()) return {};
  auto const [hi, lo, layer, block] = most->first;
  return PageName{{hi, lo}, layer, block};
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

std::string to_string(shards::StreamId const& stream) { return fmt::format("{:016x}{:016x}", stream.hi, stream.lo); }
std::string to_string(PageName const& page) { return fmt::format("{}:{}:{}", to_string(page.stream), page.layer, page.block); }

bool is_of(shards::PageEventRow const& event, PageName const& page) {
  if (event.stream_hi != page.stream.hi || event.stream_lo != page.stream.lo) return false;
  return event.layer == shards::every_layer ? event.block <= page.block : event.layer == page.layer && event.block == page.block;
}

std::optional<EventFigures> event_figures(Trace const& trace) {
  if (!trace.events) return {};
  EventFigures figures;
  std::map<std::int64_t, std::size_t> places;
  for (auto const& [value, name] : trace.events->kinds) {
    places[value] = figures.kinds.size();
    figures.kinds.push_back(name);
  }
  figures.by_rank.assign(trace.ranks.size(), std::vector<std::uint64_t>(figures.kinds.size(), 0));
  for (auto const& row : trace.events->rows) ++figures.by_rank[static_cast<std::size_t>(row.rank)][places.at(row.event)];
  for (auto const& row : trace.steps) figures.dropped += row.events_dropped;
  figures.busiest = busiest_page(*trace.events);
  return figures;
}

}   // namespace pikv::runtime::analyze
