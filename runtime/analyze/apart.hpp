#pragma once

#include <filesystem>
#include <string>

#include "comm/function_ref.hpp"

namespace pikv::runtime::analyze {

/// Runs `action` in a child process, so that a library that crashes, corrupts memory or hangs on a damaged file takes nothing with it. What
/// the child prints to stdout is kept, what it changes in memory is lost. An InputError or other exception of `action` is thrown here as an
/// InputError or RunError of the same sentence; RunError(`otherwise`) if the child did not come to its end within `limit_s`.
void run_apart(unsigned limit_s, std::string const& otherwise, comm::FunctionRef<void()> action);

/// The same for what reads `trace`, with time according to its size.
void run_apart_on(std::filesystem::path const& trace, comm::FunctionRef<void()> action);

}   // namespace pikv::runtime::analyze
