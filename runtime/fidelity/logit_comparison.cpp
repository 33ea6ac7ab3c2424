#include "runtime/fidelity/logit_comparison.hpp"

#include <algorithm>
#include <cmath>

namespace pikv::runtime {

namespace {

double log_sum_exp(std::span<float const> logits) {
  double const top = *std::ranges::max_element(logits);
  double sum = 0;
  for (float const x : logits) sum += std::exp(x - top);
  return top + std::log(sum);
}

std::int32_t top_of(std::span<float const> logits) { return static_cast<std::int32_t>(std::ranges::max_element(logits) - logits.begin()); }

}  // namespace

std::int32_t LogitComparison::target(std::size_t task, std::int64_t position) const {
  EvalTask const& of = tasks_[task];
  std::int64_t const at = position + 1 - static_cast<std::int64_t>(of.context.size());
  if (at < std::max(of.scored_from, 1) || at >= static_cast<std::int64_t>(of.follow.size())) return -1;
  return of.follow[static_cast<std::size_t>(at)];
}

void LogitComparison::exact(std::size_t task, std::int64_t position, std::span<float const> logits) {
  if (target(task, position) >= 0) exact_[{task, position}].assign(logits.begin(), logits.end());
}

void LogitComparison::compare(std::size_t task, std::int64_t position, std::span<float const> logits) {
  std::int32_t const next = target(task, position);
  if (next < 0) return;
  std::span<float const> const exact = exact_.at({task, position});
  double const lse = log_sum_exp(logits), lse_exact = log_sum_exp(exact);
  auto const at = static_cast<std::size_t>(next);
  LogitDifference difference{.nll = lse - logits[at], .nll_exact = lse_exact - exact[at]};
  for (std::size_t i = 0; i < exact.size(); ++i) {
    double const log_p = exact[i] - lse_exact;
    difference.kl += std::exp(log_p) * (log_p - (logits[i] - lse));
  }
  std::int32_t const top = top_of(logits), top_exact = top_of(exact);
  difference.same_top = top == top_exact;
  difference.right = top == next;
  difference.right_exact = top_exact == next;
  differences_[{task, position}] = difference;
}

}  // namespace pikv::runtime
