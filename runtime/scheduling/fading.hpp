#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace pikv::runtime {

/// x <- .95 x + what the step added, worked out only when it is asked for. Steps are numbered from 0.
class Fading {
 public:
  static constexpr double keep = .95;

  explicit Fading(std::int64_t step, double value = 0) : value_{value}, step_{step} {}

  /// At the end of `step`; of a step before the last addition: just after it.
  double at(std::int64_t step) const { return value_ * std::pow(keep, static_cast<double>(std::max<std::int64_t>(0, step - step_))); }
  void add(std::int64_t step, double amount) {
    value_ = at(step) + amount;
    step_ = std::max(step, step_);
  }

 private:
  double value_;
  std::int64_t step_;
};

}   // namespace pikv::runtime
