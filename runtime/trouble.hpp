#pragma once

#include <exception>
#include <string>

#include "comm/function_ref.hpp"

namespace pikv::runtime {

/// Runs `work` and returns what it threw, so that a rank in trouble still takes part in what follows.
inline std::string trouble_in(comm::FunctionRef<void()> work) {
  try {
    work();
  } catch (std::exception const& error) {
    return error.what();
  }
  return {};
}

}  // namespace pikv::runtime
