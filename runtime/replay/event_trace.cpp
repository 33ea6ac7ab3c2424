#include "runtime/replay/event_trace.hpp"

#include <fmt/core.h>

#include <tuple>
#include <utility>

#include "comm/error.hpp"

namespace pikv::runtime::replay {
namespace {

using Event = shards::PageEventRow;

bool is_read(analyze::Events const& events, Event const& event) {
  auto const kind = analyze::kind_of(events, event);
  return kind == "hit" || kind == "miss";
}

}   // namespace

Reads read_events(analyze::Trace const& trace) {
  ReadsBuilder<std::tuple<std::uint64_t, std::uint64_t, std::int64_t, std::int64_t>> builder;
  if (trace.events) {
    std::pair<std::int64_t, std::int32_t> now{-1, -1};
    for (Event const& event : trace.events->rows) {
      if (!is_read(*trace.events, event)) continue;
      std::pair<std::int64_t, std::int32_t> const moment{event.step, event.rank};
      if (now.first >= 0 && moment != now) builder.end_request();
      now = moment;
      builder.read({event.stream_hi, event.stream_lo, event.layer, event.block});
    }
    if (now.first >= 0) builder.end_request();
  }
  auto reads = std::move(builder).take();
  if (reads.pages.empty())
    throw RunError(fmt::format("{} has no page reads among its events; make it with a longer run, and --trace-events above 0", trace.path.string()));
  return reads;
}

}   // namespace pikv::runtime::replay
