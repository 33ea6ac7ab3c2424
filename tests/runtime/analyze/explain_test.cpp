#include "runtime/analyze/explain.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/error.hpp"
#include "made_trace.hpp"

namespace pikv::runtime::analyze {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char const* page_text = "00000000000000ab0000000000000cde:2:7";

shards::PageEventRow event(std::int64_t step, std::int32_t rank, shards::PageEvent kind, std::int32_t layer, std::int32_t block) {
  return {.step = step,
          .rank = rank,
          .event = static_cast<std::int32_t>(kind),
          .stream_hi = 0xab,
          .stream_lo = 0xcde,
          .layer = layer,
          .block = block,
          .peer = 1,
          .slot = 40 + block,
          .generation = 3,
          .bytes = 0};
}

Trace with_events() {
  using enum shards::PageEvent;
  auto trace = quiet_trace(2, 20);
  trace.steps[0].events_dropped = 5;
  trace.events = Events{{event(4, 0, seal, 2, 7), event(5, 0, push, 2, 7), event(5, 1, push, 2, 8), event(6, 0, rewind, shards::every_layer, 8),
                         event(7, 0, rewind, shards::every_layer, 6), event(9, 1, evict, 2, 7)},
                        {}};
  for (std::size_t i = 0; i < shards::page_event_kinds; ++i) trace.events->kinds[static_cast<std::int64_t>(i)] = to_string(static_cast<shards::PageEvent>(i));
  return trace;
}

std::string error_of(auto const& action) {
  try {
    action();
  } catch (InputError const& error) {
    return std::string{"InputError: "} + error.what();
  } catch (RunError const& error) {
    return std::string{"RunError: "} + error.what();
  }
  return "no error";
}

TEST(PageNameTest, IsStreamLayerAndBlock) {
  auto const page = parse_page_name("0123456789abcdefFEDCBA9876543210:12:345");
  EXPECT_EQ(page.stream.hi, 0x0123456789abcdefu);
  EXPECT_EQ(page.stream.lo, 0xfedcba9876543210u);
  EXPECT_EQ(page.layer, 12);
  EXPECT_EQ(page.block, 345);
}

TEST(PageNameTest, AnythingElseIsRefused) {
  for (char const* text :
       {"", ":", "::", "ab:1:2", "0123456789abcdeffedcba9876543210", "0123456789abcdeffedcba9876543210:1",
        "0123456789abcdeffedcba9876543210:1:", "0123456789abcdeffedcba9876543210::2", "0123456789abcdeffedcba9876543210:-1:2",
        "0123456789abcdeffedcba9876543210:1:2x", "0123456789abcdeffedcba987654321g:1:2", "0123456789abcdeffedcba9876543210:1:99999999999"})
    EXPECT_THAT(error_of([&] { (void)parse_page_name(text); }), HasSubstr("InputError: --explain=")) << text;
}

TEST(Explain, TellsThePagesEventsInOrderThoseOfItsStreamToo) {
  auto const text = explain(with_events(), parse_page_name(page_text));
  EXPECT_THAT(text, AllOf(HasSubstr("block 7 in layer 2 of stream 00000000000000ab0000000000000cde"), HasSubstr("1 evict, 1 push, 1 rewind, 1 seal"),
                          Not(HasSubstr(" 48 "))));
  EXPECT_THAT(text, ContainsRegex(" 4 +0\\.016000 +0 +seal +1 +47 +3 +-   it is full.*\n +5 +0\\.020000 +0 +push .*\n +7 +0\\.028000 +0 +rewind .*\n +9 "
                                  "+0\\.036000 +1 +evict"));
}

TEST(Explain, NamesTheRequest) {
  auto trace = with_events();
  EXPECT_THAT(explain(trace, parse_page_name(page_text)), Not(HasSubstr("request ")));
  RequestRecord request;
  request.id = {'r', '7'};
  request.prompt_tokens = 12;
  request.generated = 34;
  request.home = 1;
  request.stream_hi = 0xab;
  request.stream_lo = 0xcde;
  trace.requests = {RequestRecord{}, request};
  EXPECT_THAT(explain(trace, parse_page_name(page_text)), HasSubstr("request     r7, of 12 and 34 tokens, decoded by rank 1\n"));
}

TEST(Explain, EveryKindHasItsWords) {
  auto trace = with_events();
  trace.events->rows.clear();
  for (std::size_t i = 0; i < shards::page_event_kinds; ++i) trace.events->rows.push_back(event(0, 0, static_cast<shards::PageEvent>(i), 2, 7));
  EXPECT_THAT(explain(trace, parse_page_name(page_text)), Not(ContainsRegex(" +-   \n")));
}

TEST(EventFigures, AreCountsByRankAndKindAndTheBusiestPage) {
  auto const figures = event_figures(with_events());
  ASSERT_TRUE(figures);
  auto const count = [&](std::size_t rank, shards::PageEvent kind) { return figures->by_rank[rank][static_cast<std::size_t>(kind)]; };
  EXPECT_EQ(count(0, shards::PageEvent::rewind), 2u);
  EXPECT_EQ(count(0, shards::PageEvent::push), 1u);
  EXPECT_EQ(count(1, shards::PageEvent::push), 1u);
  EXPECT_EQ(count(1, shards::PageEvent::rewind), 0u);
  EXPECT_EQ(figures->dropped, 5u);
  EXPECT_EQ(to_string(*figures->busiest), page_text);
  EXPECT_FALSE(event_figures(quiet_trace(1, 1)));
}

TEST(Explain, APageWithoutEventsIsTold) {
  EXPECT_THAT(error_of([] { (void)explain(with_events(), parse_page_name("00000000000000ab0000000000000cde:1:7")); }),
              HasSubstr("RunError: made.h5 has no event of block 7 in layer 1"));
}

TEST(Explain, ATraceWithoutEventsIsTold) {
  EXPECT_THAT(error_of([] { (void)explain(quiet_trace(1, 1), parse_page_name(page_text)); }), HasSubstr("RunError: made.h5 has no page events"));
}

}   // namespace
}   // namespace pikv::runtime::analyze
