#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/scheduling/snapkv.hpp"

namespace pikv::runtime {

/// Tokens that each layer may keep, falling along a line from the first to the last (methods 3.3, arXiv 2406.02069): mean B = total / layers,
/// least = B / beta, most = 2 B - least; where most exceeds `ceiling`, most = ceiling and least = 2 B - ceiling. Rounded by largest remainder (equal ones:
/// the lower layer), so that the sum is exactly min(total, layers * ceiling) and no layer gets more than the one below it. With `levels` > 0 (it divides
/// `layers`) blocks of layers / levels layers share a point of the line.
///   total >= 0, ceiling >= 0, layers >= 1, beta >= 1
std::vector<std::int64_t> pyramid_budgets(std::int64_t total, std::int64_t ceiling, std::int32_t layers, double beta, std::int32_t levels = 0);

struct PyramidOptions {
  SnapKvOptions base;
  double beta = 20;
  std::int32_t levels = 0;   // 0: a level a layer
};

/// PyramidKV: SnapKV's scores and a budget per layer. The line is of what is left beside the voting window, or the pinned tokens where these are
/// more: so the layers' budgets have the mean that was asked for, to the token. State: as snapkv.
std::unique_ptr<Scheduler> make_pyramid(SchedulerMaterial const& material, PyramidOptions const& options = {});

}   // namespace pikv::runtime
