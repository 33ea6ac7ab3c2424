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

Trace with_events() {
  auto trace = quiet_trace(2, 20);
  auto const event = [](std::int64_t step, std::int32_t rank, std::int32_t kind, std::int32_t block) {
    return PageEvent{.step = step,
                     .rank = rank,
                     .kind = kind,
                     .layer = 2,
                     .block = block,
                     .owner = 1,
                     .slot = 40 + block,
                     .stream_hi = 0xab,
                     .stream_lo = 0xcde,
                     .generation = 3};
  };
  trace.events = Events{{event(4, 0, 0, 7), event(5, 0, 3, 7), event(5, 1, 3, 8), event(9, 1, 9, 7)}, {{0, "seal"}, {3, "push"}}};
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

TEST(Explain, TellsThePagesEventsInOrderAndNoOthers) {
  auto const text = explain(with_events(), parse_page_name(page_text));
  EXPECT_THAT(text,
              AllOf(HasSubstr("block 7 in layer 2 of stream 00000000000000ab0000000000000cde"), HasSubstr("1 push, 1 seal"), Not(HasSubstr(" 48 "))));
  EXPECT_THAT(text, ContainsRegex(" 4 +0\\.016000 +0 +seal +1 +47 +3\n +5 +0\\.020000 +0 +push .*\n +9 +0\\.036000 +1 +kind 9"));
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
