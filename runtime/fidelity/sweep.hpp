#pragma once

#include <string>

#include "comm/world.hpp"
#include "runtime/fidelity/sweep_options.hpp"

namespace pikv::runtime {

/// `pikv sweep` on this rank, collective: measures every setting of the grid and prints a table (rank 0). After each the file is whole as
/// OUTPUT.part, and a later start with the same grid, tasks and model goes on from there. Returns the exit code; throws as run_generate does.
int run_sweep(comm::World& world, SweepOptions const& options, std::string const& command_line);

}   // namespace pikv::runtime
