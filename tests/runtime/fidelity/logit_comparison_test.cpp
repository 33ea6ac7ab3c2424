#include "runtime/fidelity/logit_comparison.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

namespace pikv::runtime {
namespace {

using Logits = std::array<float, 3>;
constexpr Logits exact{1, 2, 0}, other{2, 1, 0};   // of the token after position 3, the second one of what follows

std::vector<EvalTask> tasks(std::vector<std::string> const& kinds) {
  std::vector<EvalTask> tasks;
  for (std::string const& kind : kinds) tasks.push_back({.kind = kind, .context = {0, 0, 0}, .follow = {0, 1, 2}, .scored_from = 1});
  return tasks;
}

LogitDifference compared(std::vector<EvalTask> const& all, std::size_t task) {
  LogitComparison comparison{all};
  comparison.exact(task, 3, exact);
  comparison.compare(task, 3, other);
  return comparison.differences().at({task, 3});
}

double lse() { return std::log(std::exp(1.0) + std::exp(2.0) + 1); }

TEST(LogitComparison, SaysLossesAndChoicesOfBoth) {
  for (auto const& kinds : std::vector<std::vector<std::string>>{{"single"}, {"single", "text"}}) {
    LogitDifference const difference = compared(tasks(kinds), 0);
    EXPECT_NEAR(difference.nll, lse() - 1, 1e-12);
    EXPECT_NEAR(difference.nll_exact, lse() - 2, 1e-12);
    EXPECT_TRUE(difference.right_exact);
    EXPECT_FALSE(difference.right);
    EXPECT_FALSE(difference.same_top);
  }
}

TEST(LogitComparison, KeepsLogitsWhereKlCounts) {
  double const kl = (std::exp(2.0) - std::exp(1.0)) / std::exp(lse());   // the two largest change places
  auto const needles = tasks({"single", "many"}), both = tasks({"single", "text"});
  EXPECT_EQ(LogitComparison{needles}.rows_kept(0), 2U);
  EXPECT_EQ(LogitComparison{both}.rows_kept(0), 0U);
  EXPECT_EQ(LogitComparison{both}.rows_kept(1), 2U);
  EXPECT_NEAR(compared(needles, 0).kl, kl, 1e-7);
  EXPECT_NEAR(compared(both, 1).kl, kl, 1e-7);
  EXPECT_EQ(compared(both, 0).kl, 0);
}

}   // namespace
}   // namespace pikv::runtime
