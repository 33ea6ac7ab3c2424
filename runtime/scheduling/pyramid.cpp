#include "runtime/scheduling/pyramid.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace pikv::runtime {
namespace {

class Pyramid final : public SnapKv {
 public:
  Pyramid(LayerShape const& shape, PyramidOptions const& options) : SnapKv{shape, options.base}, options_{options} {}

  std::int64_t layer_tokens(Budget const& budget, std::int64_t pinned) const override {
    std::int64_t const window = std::max<std::int64_t>(options_.base.window, pinned);
    if (budget.tokens <= window || budget.length <= window) return budget.tokens;
    auto const budgets = pyramid_budgets((budget.tokens - window) * shape().layers, budget.length - window, shape().layers, options_.beta, options_.levels);
    return window + budgets.at(static_cast<std::size_t>(shape().layer));
  }

 private:
  PyramidOptions options_;
};

}   // namespace

std::vector<std::int64_t> pyramid_budgets(std::int64_t total, std::int64_t ceiling, std::int32_t layers, double beta, std::int32_t levels) {
  if (layers < 1 || beta < 1 || levels < 0 || (levels > 0 && layers % levels != 0)) throw std::logic_error("a pyramid needs layers, a beta of 1 or more, and levels that divide its layers");
  auto const n = static_cast<std::size_t>(layers);
  if (total >= layers * ceiling) return std::vector<std::int64_t>(n, ceiling);
  double const mean = static_cast<double>(total) / layers;
  double const most = std::min(2 * mean - mean / beta, static_cast<double>(ceiling)), least = 2 * mean - most;
  std::int32_t const points = levels > 0 ? levels : layers;

  std::vector<std::int64_t> budgets(n);
  std::vector<double> remainder(n);
  for (std::size_t layer = 0; layer < n; ++layer) {
    std::int32_t const point = static_cast<std::int32_t>(layer) / (layers / points);
    double const wanted = points > 1 ? most - point * (most - least) / (points - 1) : mean;
    budgets[layer] = static_cast<std::int64_t>(std::floor(wanted + 1e-9));
    remainder[layer] = wanted - static_cast<double>(budgets[layer]);
  }
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return remainder[a] > remainder[b] + 1e-9; });
  std::int64_t const left = total - std::accumulate(budgets.begin(), budgets.end(), std::int64_t{0});
  for (std::int64_t i = 0; i < left; ++i) ++budgets[order.at(static_cast<std::size_t>(i))];
  return budgets;
}

std::unique_ptr<Scheduler> make_pyramid(SchedulerMaterial const& material, PyramidOptions const& options) {
  return std::make_unique<Pyramid>(material.shape, options);
}

}   // namespace pikv::runtime
