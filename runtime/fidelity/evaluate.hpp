#pragma once

#include <string>

#include "comm/world.hpp"
#include "runtime/fidelity/evaluate_options.hpp"

namespace pikv::runtime {

/// `pikv evaluate` on this rank, collective: every task is run twice, with exact attention over fp32 pages and with the cache as asked for, and
/// what the second lost is printed (rank 0). Returns the exit code; throws as run_generate does.
int run_evaluate(comm::World& world, EvaluateOptions const& options, std::string const& command_line);

}   // namespace pikv::runtime
