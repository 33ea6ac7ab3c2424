#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "runtime/fidelity/task.hpp"

namespace pikv::runtime {

/// How the logits of a run differ from those of exact attention, at one scored position. Natural logarithms.
struct LogitDifference {
  double nll = 0, nll_exact = 0;      // of the token that follows
  double kl = 0;                      // KL(exact || run); 0 where it counts for nothing
  bool same_top = false;              // both would choose the same token
  bool right = false, right_exact = false;   // it is the one that follows
};

/// Exact logits first, kept; then those of the run, compared. One rank's tasks, by their place in the list.
class LogitComparison {
 public:
  explicit LogitComparison(std::span<EvalTask const> tasks) : tasks_{tasks}, text_alone_{has_text(tasks)} {}

  /// `position`: of the token that the row of logits follows. Rows that do not count are passed over; a row may come again.
  void exact(std::size_t task, std::int64_t position, std::span<float const> logits);
  void compare(std::size_t task, std::int64_t position, std::span<float const> logits);
  /// Exact logits of a task that are kept: of all its scored positions, or none where its KL counts for nothing.
  std::size_t rows_kept(std::size_t task) const;
  /// The exact logits are not needed any more.
  void forget_exact() { exact_.clear(); }
  /// The same tasks again, in another run.
  void forget_differences() { differences_.clear(); }

  using Place = std::pair<std::size_t, std::int64_t>;   // task, position
  std::map<Place, LogitDifference> const& differences() const { return differences_; }

 private:
  struct Exact {
    double nll = 0, lse = 0;
    std::int32_t top = 0;
    std::vector<float> logits;   // where KL is wanted
  };

  /// What follows there; -1 if that does not count.
  std::int32_t target(std::size_t task, std::int64_t position) const;
  bool wants_kl(std::size_t task) const { return !text_alone_ || tasks_[task].kind == "text"; }

  std::span<EvalTask const> tasks_;
  bool text_alone_;
  std::map<Place, Exact> exact_;
  std::map<Place, LogitDifference> differences_;
};

}  // namespace pikv::runtime
