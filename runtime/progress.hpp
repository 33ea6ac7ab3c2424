#pragma once

#include <cstdint>
#include <cstdio>

#include "comm/rank.hpp"

namespace pikv::runtime {

struct ProgressState {
  std::int64_t requests_done = 0, requests = 0, tokens = 0;
  double tokens_per_second = 0;
};

/// How far the job is, on stderr: a bar on a terminal, a line every 10 s otherwise. Real time, also where the world's is virtual.
class Progress {
 public:
  explicit Progress(comm::Rank rank);                                    // shows on rank 0 only
  Progress(std::FILE* out, bool terminal, double (*seconds)());          // out = nullptr shows nothing

  /// As often as one likes; prints when it is time, else costs a look at the clock.
  void show(ProgressState const& state);
  /// The last state, and the end of the bar's line. Prints no line in a log: the summary follows.
  void finish(ProgressState const& state);

 private:
  void draw(ProgressState const& state) const;

  std::FILE* out_;
  bool terminal_;
  double (*seconds_)();
  double next_;
};

}  // namespace pikv::runtime
