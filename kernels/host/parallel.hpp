#pragma once

#include <omp.h>

#include <cstddef>

namespace pikv::kernels::host {

/// Runs body(item, thread) for items 0 .. count - 1. `work` is in multiply-adds or loads of the whole; below some ten microseconds of it
/// waking the team costs more than it brings, so the calling thread does all. Items must not depend on who runs them.
template <class Body>
void parallel_for(std::size_t count, double work, Body const& body) {
  constexpr double worth_a_team = 5e5;
  if (count < 2 || work < worth_a_team || omp_get_max_threads() == 1) {
    for (std::size_t item = 0; item < count; ++item) body(item, 0);
    return;
  }
#pragma omp parallel for schedule(dynamic, 1)
  for (std::size_t item = 0; item < count; ++item) body(item, omp_get_thread_num());
}

}  // namespace pikv::kernels::host
