#pragma once

#include <memory>

#include "runtime/scheduling/schedulers.hpp"

namespace pikv::runtime {

/// Least recently read goes first (methods 4.1): u = 2^(-age/tau), age = steps since the page was last read, or appended to. Evicts exactly what a
/// linked list evicts; pages read in one step count as read in ascending order of block. What counts as a read: masses.hpp.
/// State: 16 bytes a page.
std::unique_ptr<Scheduler> make_lru(SchedulerMaterial const& material);

}   // namespace pikv::runtime
