#pragma once

#include <filesystem>
#include <string>

#include "comm/function_ref.hpp"

namespace pikv::runtime {

/// Runs `action` in a child process, so that a library that crashes, corrupts memory or hangs on a damaged file takes nothing with it. What
/// the child prints to stdout is kept, what it changes in memory is lost. An InputError, CheckError or other exception of `action` is thrown here
/// as an InputError, CheckError or RunError of the same sentence; RunError(`otherwise`) if the child did not come to its end within `limit_s`.
void run_apart(unsigned limit_s, std::string const& otherwise, comm::FunctionRef<void()> action);

/// The same for what reads the HDF5 file `path`, with time according to its size. `option`: of `pikv generate`, which wrote it.
void run_apart_on(std::filesystem::path const& path, std::string const& option, comm::FunctionRef<void()> action);

}   // namespace pikv::runtime
