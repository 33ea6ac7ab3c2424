#pragma once

#include <string>

#include "comm/error.hpp"
#include "comm/function_ref.hpp"
#include "comm/world.hpp"

namespace pikv::runtime {

/// What takes one rank as long as its file is large (reading, verifying, writing), the others wait this many deadlines for.
inline constexpr double patience = 20;

/// How something ended: 0 and no sentence, or an exit code and what the user reads.
struct Outcome {
  int code = 0;
  std::string sentence;
};

/// Thrown on every rank alike: each knows, so it is said once and nobody is left waiting.
struct AgreedError : Error {
  explicit AgreedError(Outcome const& outcome) : Error(outcome.sentence), code{outcome.code} {}
  int code;
};

/// Runs `action`; an exception becomes code 2 (InputError), 3 (CheckError), 1 (any other), with a sentence for memory that ran out as well.
Outcome outcome_of(comm::FunctionRef<void()> action);

/// Collective, for set-up: runs `local` on every rank. If it throws on any, every rank throws AgreedError with the sentence and code of
/// the lowest rank in trouble (named, unless it is rank 0). Inside a step trouble travels in the control exchange instead.
void agree(comm::World& world, double deadline_s, comm::FunctionRef<void()> local);

}  // namespace pikv::runtime
