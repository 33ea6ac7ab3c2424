#pragma once

#include <cstdint>
#include <vector>

#include "runtime/request.hpp"

namespace pikv::runtime {

/// A workload: requests that say no arrival (or 0) arrive at random, `rate` per second on average, in input order (a Poisson process).
void draw_arrivals(std::vector<Request>& requests, double rate, std::uint64_t seed);

}  // namespace pikv::runtime
