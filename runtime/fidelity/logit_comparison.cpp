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

std::size_t LogitComparison::rows_kept(std::size_t task) const {
  auto const follow = static_cast<std::int32_t>(tasks_[task].follow.size());
  return wants_kl(task) ? static_cast<std::size_t>(std::max(0, follow - std::max(tasks_[task].scored_from, 1))) : 0;
}

void LogitComparison::exact(std::size_t task, std::int64_t position, std::span<float const> logits) {
  std::int32_t const next = target(task, position);
  if (next < 0) return;
  double const lse = log_sum_exp(logits);
  Exact exact{.nll = lse - logits[static_cast<std::size_t>(next)], .lse = lse, .top = top_of(logits), .logits = {}};
  if (wants_kl(task)) exact.logits.assign(logits.begin(), logits.end());
  exact_[{task, position}] = std::move(exact);
}

void LogitComparison::compare(std::size_t task, std::int64_t position, std::span<float const> logits) {
  std::int32_t const next = target(task, position);
  if (next < 0) return;
  Exact const& exact = exact_.at({task, position});
  double const lse = log_sum_exp(logits);
  LogitDifference difference{.nll = lse - logits[static_cast<std::size_t>(next)], .nll_exact = exact.nll};
  for (std::size_t i = 0; i < exact.logits.size(); ++i) {
    double const log_p = exact.logits[i] - exact.lse;
    difference.kl += std::exp(log_p) * (log_p - (logits[i] - lse));
  }
  std::int32_t const top = top_of(logits);
  difference.same_top = top == exact.top;
  difference.right = top == next;
  difference.right_exact = exact.top == next;
  differences_[{task, position}] = difference;
}

}  // namespace pikv::runtime
