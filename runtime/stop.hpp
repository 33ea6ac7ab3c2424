#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "comm/rank.hpp"
#include "runtime/control.hpp"

namespace pikv::runtime {

/// A job that stops on request: after a checkpoint, with exit code 75. A batch script starts it again on this code.
inline constexpr int stopped_code = 75;

/// A reason is the number of a signal, or this.
inline constexpr std::int32_t time_limit_reached = -1;

struct Stop {
  comm::Rank rank = 0;
  std::int32_t reason = 0;
};
std::string to_string(Stop const& stop);   // "SIGTERM on rank 3", "time limit"

/// The lowest rank that wants to stop.
std::optional<Stop> stop_in(std::vector<ControlState> const& states);

/// Since this process began.
double seconds_since_start();

/// From now on SIGTERM and SIGUSR1 ask this process to stop instead of ending it; pending_signal() is the first that came, or 0.
void catch_stop_signals();
std::int32_t pending_signal();

}  // namespace pikv::runtime
