#pragma once

#include "comm/function_ref.hpp"
#include "comm/world.hpp"

namespace pikv::comm::test {

/// Runs `body(world)` on `ranks` threads side by side, on the clock of this machine: for what goes on by being polled, which the virtual time
/// of the in-process world would jump over. No transports; exchanges are those of a world over it. Rethrows what the first rank threw.
void run_threads(int ranks, FunctionRef<void(World&)> body);

}  // namespace pikv::comm::test
