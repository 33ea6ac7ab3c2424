#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/analyze/trace_reader.hpp"

namespace pikv::runtime::analyze {

struct PageName {
  shards::StreamId stream;
  std::int32_t layer = 0, block = 0;
};
/// `STREAM:LAYER:BLOCK`, the stream as 32 hexadecimal digits. Throws InputError.
PageName parse_page_name(std::string_view text);
std::string to_string(PageName const& page);
std::string to_string(shards::StreamId const& stream);

/// The event is of that page: of itself, or of its stream from an earlier block on in every layer.
bool is_of(shards::PageEventRow const& event, PageName const& page);

struct EventFigures {
  std::vector<std::string> kinds;                    // in the order of their values
  std::vector<std::vector<std::uint64_t>> by_rank;   // [rank][kind]: events written down
  std::uint64_t dropped = 0;                         // events for which the ranks had no room
  std::optional<PageName> busiest;                   // the page with most events
};
/// Nothing for a trace without /events.
std::optional<EventFigures> event_figures(Trace const& trace);

}   // namespace pikv::runtime::analyze
