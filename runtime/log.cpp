#include "runtime/log.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <mutex>

namespace pikv::runtime {
namespace {

std::mutex chain_mutex;
std::vector<std::string> chain;   // scopes that the latest exception left, innermost first

std::string one_line(std::string_view text) {
  std::string line{text};
  for (char& c : line)
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  return line;
}

}  // namespace

void start_log(std::string const& level, int rank) {
  auto log = std::make_shared<spdlog::logger>("pikv", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  log->set_pattern(rank == 0 ? "pikv: %v" : fmt::format("pikv: rank {}: %v", rank));
  log->set_level(rank == 0 || level == "debug" ? spdlog::level::from_str(level) : std::max(spdlog::level::warn, spdlog::level::from_str(level)));
  spdlog::set_default_logger(std::move(log));
}

void say_error(std::string_view sentence) {
  std::string text = fmt::format("pikv: error: {}\n", one_line(sentence));
  if (spdlog::should_log(spdlog::level::debug)) {
    std::lock_guard const lock{chain_mutex};
    for (auto const& what : chain) text += fmt::format("pikv: while {}\n", one_line(what));
  }
  std::fputs(text.c_str(), stderr);
}

Doing::Doing(std::string what) : what_{std::move(what)}, exceptions_{std::uncaught_exceptions()} {
  std::lock_guard const lock{chain_mutex};
  chain.clear();
}

Doing::~Doing() {
  if (std::uncaught_exceptions() <= exceptions_) return;
  std::lock_guard const lock{chain_mutex};
  chain.push_back(std::move(what_));
}

}  // namespace pikv::runtime
