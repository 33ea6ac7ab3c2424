#pragma once

#include <span>
#include <vector>

#include "runtime/routing/router.hpp"

namespace pikv::runtime {

/// log p = z - log sum exp z; where nothing is known (all z are -inf) p is uniform. z is finite or -inf; NaN and +inf are a std::logic_error.
void log_softmax(std::span<float const> z, std::span<float> log_p);

/// The ids of the k highest scores, best first; equal ones: the lower id first. NaN, and k outside 0 .. scores.size(), are a std::logic_error.
void take_top(std::span<float const> scores, std::int32_t k, std::vector<KvExpert>& chosen);

/// std::logic_error unless every vector has one entry per expert.
void require_stats(ExpertStats const& stats, std::size_t experts);

}  // namespace pikv::runtime
