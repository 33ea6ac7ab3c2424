#include "runtime/arrivals.hpp"

#include <cmath>

#include "runtime/sampler.hpp"

namespace pikv::runtime {

void draw_arrivals(std::vector<Request>& requests, double rate, std::uint64_t seed) {
  constexpr std::uint64_t no_token = UINT64_MAX;   // apart from the sampler's numbers
  double now = 0;
  for (Request& request : requests) {
    if (request.arrival_s > 0) continue;
    now -= std::log1p(-counter_uniform(seed, static_cast<std::uint64_t>(request.index), no_token)) / rate;
    request.arrival_s = now;
  }
}

}  // namespace pikv::runtime
