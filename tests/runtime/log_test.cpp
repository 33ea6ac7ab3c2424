#include "runtime/log.hpp"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <stdexcept>
#include <string>

namespace pikv::runtime {
namespace {

template <typename F>
std::string stderr_of(F&& action) {
  ::testing::internal::CaptureStderr();
  action();
  spdlog::default_logger()->flush();
  return ::testing::internal::GetCapturedStderr();
}

void fail_while_reading() {
  try {
    Doing outer{"starting the job"};
    Doing inner{"reading the model"};
    throw std::runtime_error("cut short");
  } catch (std::runtime_error const& error) {
    say_error(error.what());
  }
}

TEST(Log, RankZeroSaysWhatTheLevelLetsThrough) {
  EXPECT_EQ(stderr_of([] {
              start_log("info", 0);
              spdlog::debug("a");
              spdlog::info("b");
            }),
            "pikv: b\n");
}

TEST(Log, OtherRanksSayOnlyTroubleOfTheirOwn) {
  EXPECT_EQ(stderr_of([] {
              start_log("info", 3);
              spdlog::info("a");
              spdlog::warn("b");
            }),
            "pikv: rank 3: b\n");
}

TEST(Log, AnErrorIsOneLineWhateverItHolds) {
  EXPECT_EQ(stderr_of([] {
              start_log("info", 0);
              say_error("two\nlines");
            }),
            "pikv: error: two lines\n");
}

TEST(Log, DebugAddsWhatWasBeingDone) {
  EXPECT_EQ(stderr_of([] {
              start_log("info", 0);
              fail_while_reading();
            }),
            "pikv: error: cut short\n");
  EXPECT_EQ(stderr_of([] {
              start_log("debug", 0);
              fail_while_reading();
            }),
            "pikv: error: cut short\npikv: while reading the model\npikv: while starting the job\n");
}

}  // namespace
}  // namespace pikv::runtime
