#pragma once

#include "comm/function_ref.hpp"

namespace pikv::runtime::analyze {

/// Runs `action` in a child process and tells whether it came to an end there within `limit_s`, be it by an exception: libraries that
/// crash on a damaged file do it in the child. What the child changes in memory is lost.
bool comes_to_an_end(unsigned limit_s, comm::FunctionRef<void()> action);

}   // namespace pikv::runtime::analyze
