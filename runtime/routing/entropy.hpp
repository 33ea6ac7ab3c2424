#pragma once

#include <memory>
#include <span>

#include "runtime/routing/routers.hpp"

namespace pikv::runtime {

inline constexpr float entropy_weight = 0.5f;

/// score_e = log p_e - weight x log(E f_e + 1e-6), f = `load` (methods 2.5): the gradient of sum log p + weight x entropy(f). Sampling from
/// softmax(score) settles at f ~ p^(1 / (1 + weight)).
void entropy_scores(std::span<float const> log_p, std::span<float const> load, float weight, std::span<float> scores);

/// Router `entropy`: the k highest of those scores, of loads that change slowly (ExpertHistory).
std::unique_ptr<Router> make_entropy_router(RouterMaterial const& material);

}  // namespace pikv::runtime
