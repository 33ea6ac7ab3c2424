#include "runtime/progress.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string_view>

namespace pikv::runtime {
namespace {

constexpr double seconds_between_lines = 10, seconds_between_bars = 0.1;
constexpr std::string_view full = "########################################";

double steady_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

Progress::Progress(comm::Rank rank) : Progress{rank == 0 ? stderr : nullptr, ::isatty(STDERR_FILENO) == 1, steady_seconds} {}

Progress::Progress(std::FILE* out, bool terminal, double (*seconds)())
    : out_{out}, terminal_{terminal}, seconds_{seconds}, next_{seconds() + (terminal ? 0 : seconds_between_lines)} {}

void Progress::show(ProgressState const& state) {
  if (!out_) return;
  double const now = seconds_();
  if (now < next_) return;
  next_ = now + (terminal_ ? seconds_between_bars : seconds_between_lines);
  draw(state);
}

void Progress::finish(ProgressState const& state) {
  if (!out_ || !terminal_) return;
  draw(state);
  std::fputc('\n', out_);
}

void Progress::draw(ProgressState const& state) const {
  auto const total = std::max<std::int64_t>(state.requests, 1);
  auto const done = std::clamp<std::int64_t>(state.requests_done, 0, total);
  auto const filled = static_cast<std::size_t>(done * static_cast<std::int64_t>(full.size()) / total);
  if (terminal_) fmt::print(out_, "\r[{:<{}}] ", full.substr(0, filled), full.size());
  fmt::print(out_, "{}{}/{} requests, {} tokens, {:.1f} tokens/s{}", terminal_ ? "" : "pikv: ", state.requests_done, state.requests,
             state.tokens, state.tokens_per_second, terminal_ ? "\x1b[K" : "\n");
  std::fflush(out_);
}

}  // namespace pikv::runtime
