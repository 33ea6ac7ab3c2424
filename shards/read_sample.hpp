#pragma once

#include <algorithm>
#include <cstdint>

namespace pikv::shards {

/// Which of a rank's page reads are written down as hits: every gap-th, counted over all of them in their order. The gap is 1021 (a
/// prime: no layer or stream is met time and again), or an eighth of the last step's reads where that is more. From counts alone, so
/// that the same run samples the same reads; its cost does not grow with the reads.
class ReadSample {
 public:
  static constexpr std::int64_t least_gap = 1021, most_in_a_step = 8;

  void begin_step() {
    gap_ = std::max(least_gap, (reads_ / most_in_a_step) | 1);
    reads_ = 0;
  }
  /// So many reads come now; `take(i)` is called for the i-th of them if it is sampled.
  template <typename Take>
  void reads(std::int64_t count, Take const& take) {
    reads_ += count;
    for (; next_ < count; next_ += gap_) take(next_);
    next_ -= count;
  }

 private:
  std::int64_t gap_ = least_gap, next_ = least_gap - 1, reads_ = 0;
};

}  // namespace pikv::shards
