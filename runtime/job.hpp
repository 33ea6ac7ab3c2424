#pragma once

#include <string>

#include "comm/world.hpp"
#include "runtime/device_choice.hpp"
#include "runtime/options.hpp"

namespace pikv::runtime {

/// `pikv generate` on this rank, collective: reads model and prompts, runs the engine, writes what was asked for (rank 0). Returns the
/// exit code: 0, or 1 when a request ended in error. Throws AgreedError on all ranks alike for what is found before work starts or agreed
/// on in a step; anything else thrown is trouble of this rank alone. Where every rank can `make` its GPU, the step runs there (device_choice.hpp).
int run_generate(comm::World& world, GenerateOptions const& options, std::string const& command_line, MakeDevice make = nullptr);

}  // namespace pikv::runtime
