#pragma once

#include <string>

#include "comm/error.hpp"
#include "comm/function_ref.hpp"

namespace pikv::runtime {

/// Runs `work` and returns what it threw, so that a rank in trouble still takes part in what follows.
inline std::string trouble_in(comm::FunctionRef<void()> work) {
  try {
    work();
  } catch (Error const& error) {
    return error.what();
  }
  return {};
}

}  // namespace pikv::runtime
