#pragma once

#include <memory>

#include "runtime/routing/routers.hpp"

namespace pikv::runtime {

/// Router `topk_balanced` (methods 2.3, the serving form of DeepSeek-V3): highest a_e + bias_e, where a_e = sigmoid(z_e - log mean exp z) in [0,1] is
/// the affinity seen from the mean expert's, and after each step bias_e moves by gamma = 0.001 towards fewer reads of experts read more than
/// the mean, more of the others; |bias| <= 1. An expert without pages comes last. State: bias [experts].
std::unique_ptr<Router> make_topk_balanced_router(RouterMaterial const& material);

}  // namespace pikv::runtime
