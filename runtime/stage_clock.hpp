#pragma once

#include <array>
#include <chrono>

#include "runtime/statistics.hpp"

namespace pikv::runtime {

/// Real seconds by stage. The main thread is in one stage at a time: enter() ends the one before.
class StageClock {
 public:
  void enter(Stage stage) {
    auto const now = std::chrono::steady_clock::now();
    seconds_[static_cast<std::size_t>(stage_)] += std::chrono::duration<double>(now - since_).count();
    since_ = now;
    stage_ = stage;
  }
  /// Moves seconds that were spent inside one stage to the one they belong to.
  void move(Stage from, Stage to, double seconds) {
    seconds_[static_cast<std::size_t>(from)] -= seconds;
    seconds_[static_cast<std::size_t>(to)] += seconds;
  }
  std::array<double, stages> const& seconds() const { return seconds_; }

 private:
  Stage stage_ = Stage::other;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  std::array<double, stages> seconds_{};
};

}  // namespace pikv::runtime
