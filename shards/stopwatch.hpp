#pragma once

#include <chrono>

namespace pikv::shards {

/// Adds the seconds of its own life to a sum. Real time also in process: it says where work goes, it decides nothing.
class Stopwatch {
 public:
  explicit Stopwatch(double& seconds) : seconds_{seconds}, begin_{std::chrono::steady_clock::now()} {}
  ~Stopwatch() { seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count(); }
  Stopwatch(Stopwatch const&) = delete;   // would count its life twice
  Stopwatch& operator=(Stopwatch const&) = delete;

 private:
  double& seconds_;
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace pikv::shards
