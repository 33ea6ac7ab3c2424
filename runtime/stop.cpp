#include "runtime/stop.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <csignal>

namespace pikv::runtime {

namespace {

std::sig_atomic_t volatile pending = 0;
auto const process_start = std::chrono::steady_clock::now();

void remember(int signal) {
  if (pending == 0) pending = signal;
}

}  // namespace

std::string to_string(Stop const& stop) {
  if (stop.reason == time_limit_reached) return "time limit";
  return fmt::format("{} on rank {}", stop.reason == SIGTERM ? "SIGTERM" : stop.reason == SIGUSR1 ? "SIGUSR1" : "a signal", stop.rank);
}

std::optional<Stop> stop_in(std::vector<ControlState> const& states) {
  auto const first = std::ranges::find_if(states, [](ControlState const& state) { return state.stop != 0; });
  if (first == states.end()) return {};
  return Stop{static_cast<comm::Rank>(first - states.begin()), first->stop};
}

double seconds_since_start() { return std::chrono::duration<double>(std::chrono::steady_clock::now() - process_start).count(); }

void catch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (int const signal : {SIGTERM, SIGUSR1}) sigaction(signal, &action, nullptr);
}

std::int32_t pending_signal() { return pending; }

}  // namespace pikv::runtime
