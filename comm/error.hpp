#pragma once

#include <stdexcept>

namespace pikv {

/// What a user reads: one sentence that names what, why and what to do. No prefix, no newline.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Found before work starts: option, environment, model, prompt file, plan. Exit code 2.
struct InputError : Error {
  using Error::Error;
};
/// The run failed: a peer, I/O, a lost page, a timeout. Exit code 1.
struct RunError : Error {
  using Error::Error;
};
/// A check that was asked for does not hold. Exit code 3.
struct CheckError : Error {
  using Error::Error;
};

}  // namespace pikv
