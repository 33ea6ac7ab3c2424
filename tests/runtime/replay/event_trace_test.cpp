#include "runtime/replay/event_trace.hpp"

#include <gmock/gmock.h>

#include "comm/error.hpp"
#include "tests/runtime/analyze/made_trace.hpp"

namespace pikv::runtime::replay {
namespace {

using shards::PageEvent;
using ::testing::ElementsAre;

shards::PageEventRow row(std::int64_t step, std::int32_t rank, PageEvent event, std::uint64_t stream, std::int32_t layer, std::int32_t block) {
  shards::PageEventRow made;
  made.step = step;
  made.rank = rank;
  made.event = static_cast<std::int32_t>(event);
  made.stream_hi = 7;
  made.stream_lo = stream;
  made.layer = layer;
  made.block = block;
  return made;
}

analyze::Trace trace_of(std::vector<shards::PageEventRow> rows) {
  auto trace = analyze::quiet_trace(2, 1);
  trace.events.emplace();
  trace.events->rows = std::move(rows);
  for (std::size_t kind = 0; kind < shards::page_event_kinds; ++kind)
    trace.events->kinds[static_cast<std::int64_t>(kind)] = shards::to_string(static_cast<PageEvent>(kind));
  return trace;
}

TEST(EventTraceTest, HitsAndMissesAreReadsOfAStreamsLayersBlock) {
  auto const reads =
      read_events(trace_of({row(0, 0, PageEvent::seal, 1, 0, 0), row(1, 0, PageEvent::hit, 1, 0, 0), row(1, 0, PageEvent::miss, 1, 0, 1),
                            row(1, 0, PageEvent::hit, 1, 1, 0), row(1, 0, PageEvent::fetch, 1, 1, 9), row(1, 0, PageEvent::hit, 2, 0, 0),
                            row(1, 0, PageEvent::hit, 1, 0, 1)}));
  EXPECT_THAT(reads.pages, ElementsAre(0, 1, 2, 3, 1));
  EXPECT_THAT(reads.ends, ElementsAre(5));
}

TEST(EventTraceTest, ARequestIsWhatARankReadInAStep) {
  auto const reads =
      read_events(trace_of({row(3, 0, PageEvent::hit, 1, 0, 0), row(3, 1, PageEvent::hit, 2, 0, 0), row(4, 1, PageEvent::seal, 2, 0, 5),
                            row(5, 1, PageEvent::hit, 2, 0, 0), row(5, 1, PageEvent::hit, 2, 0, 1)}));
  EXPECT_THAT(reads.ends, ElementsAre(1, 2, 4));
}

TEST(EventTraceTest, ATraceWithoutReadsIsRefused) {
  EXPECT_THROW((void)read_events(trace_of({row(0, 0, PageEvent::seal, 1, 0, 0)})), RunError);
  EXPECT_THROW((void)read_events(analyze::quiet_trace(1, 1)), RunError) << "format 2 has no events";
}

}   // namespace
}   // namespace pikv::runtime::replay
