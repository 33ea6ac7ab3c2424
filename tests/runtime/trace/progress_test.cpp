#include "runtime/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

namespace pikv::runtime {
namespace {

double clock_s = 0;

struct ProgressTest : ::testing::Test {
  ProgressTest() { clock_s = 100; }
  ~ProgressTest() override {
    std::fclose(out);
    std::free(buffer);
  }
  std::string said() {
    std::fflush(out);
    return {buffer, size};
  }
  static double now() { return clock_s; }

  char* buffer = nullptr;
  std::size_t size = 0;
  std::FILE* out = open_memstream(&buffer, &size);
};

TEST_F(ProgressTest, ALogGetsALineEveryTenSeconds) {
  Progress progress{out, false, now};
  for (clock_s = 100; clock_s < 125; clock_s += 0.5) progress.show({.requests_done = 1, .requests = 4, .tokens = 10, .tokens_per_second = 2});
  progress.finish({.requests_done = 4, .requests = 4});
  EXPECT_EQ(said(), "pikv: 1/4 requests, 10 tokens, 2.0 tokens/s\npikv: 1/4 requests, 10 tokens, 2.0 tokens/s\n");
}

TEST_F(ProgressTest, ATerminalGetsOneBarThatGrows) {
  Progress progress{out, true, now};
  progress.show({.requests_done = 1, .requests = 4, .tokens = 10, .tokens_per_second = 2});
  EXPECT_THAT(said(), ::testing::StartsWith("\r[##########                              ] 1/4 requests, 10 tokens"));
  progress.finish({.requests_done = 4, .requests = 4, .tokens = 40, .tokens_per_second = 2});
  EXPECT_THAT(said(), ::testing::HasSubstr("[########################################] 4/4"));
  EXPECT_THAT(said(), ::testing::EndsWith("\n"));
}

TEST_F(ProgressTest, ABarIsDrawnAtMostTenTimesASecond) {
  Progress progress{out, true, now};
  for (int i = 0; i < 1000; ++i) progress.show({.requests_done = 1, .requests = 4});
  std::string const text = said();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\r'), 1);
}

TEST_F(ProgressTest, NoRequestsAtAllIsAnEmptyBar) {
  Progress progress{out, true, now};
  progress.show({});
  EXPECT_THAT(said(), ::testing::HasSubstr("0/0 requests"));
}

TEST(ProgressOfOtherRanks, ShowsNothing) {
  ::testing::internal::CaptureStderr();
  Progress progress{1};
  progress.show({.requests = 4});
  progress.finish({.requests = 4});
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace pikv::runtime
