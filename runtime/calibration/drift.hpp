#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/calibration/calibration.hpp"
#include "shards/page.hpp"

namespace pikv::runtime {

/// Whether a page is one of the 1/64 whose error is compared: by its key, so that the same pages are on any number of ranks.
bool is_checked_for_drift(shards::PageKey const& key);

/// Whether maps still fit what they are used on (methods 3.0): compares the errors of pages with those of held-out text, as a moving average of their
/// ratio, for each layer, head and part.
class DriftCheck {
 public:
  /// expected: held-out relative squared errors, |x - x^|^2 / |x|^2, of the maps in use, by layer * kv_heads + head; 0: nothing to compare.
  DriftCheck(ByHead<double> expected, std::int32_t kv_heads);

  /// relative: |x - x^|^2 / |x|^2 over a page. A page whose x is 0 has no such error: leave it out.
  void page(std::int32_t layer, std::int32_t head, Part part, double relative);
  /// The moving average, over some 32 pages, of relative error by the expected one; 1 before any page.
  double ratio(std::int32_t layer, std::int32_t head, Part part) const { return state(layer, head, part).average; }
  /// Once, and only once, when an average over at least 32 pages has risen above 1.5: a sentence for the log.
  std::optional<std::string> warning();

 private:
  struct State {
    double average = 1;
    std::int64_t pages = 0;
  };
  std::size_t at(std::int32_t layer, std::int32_t head) const { return static_cast<std::size_t>(layer * kv_heads_ + head); }
  State const& state(std::int32_t layer, std::int32_t head, Part part) const { return states_[static_cast<std::size_t>(part)][at(layer, head)]; }

  ByHead<double> expected_;
  std::int32_t kv_heads_;
  ByHead<State> states_;
  std::optional<std::string> waiting_;
  bool said_ = false;
};

}   // namespace pikv::runtime
