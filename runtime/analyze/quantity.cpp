#include "runtime/analyze/quantity.hpp"

#include <fmt/core.h>

namespace pikv::runtime::analyze {

std::string bytes_text(double bytes) {
  if (bytes < 1024) return fmt::format("{:.0f} B", bytes);
  for (char const* unit : {"KiB", "MiB", "GiB"}) {
    bytes /= 1024;
    if (bytes < 1024) return fmt::format("{:.1f} {}", bytes, unit);
  }
  return fmt::format("{:.1f} TiB", bytes / 1024);
}

std::string seconds_text(double seconds) {
  if (seconds == 0) return "0 s";
  if (seconds < 1e-3) return fmt::format("{:.1f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.1f} ms", seconds * 1e3);
  return fmt::format("{:.2f} s", seconds);
}

std::string seconds_text(std::optional<double> seconds) { return seconds ? seconds_text(*seconds) : "n/a"; }

std::string share_text(std::optional<double> share) { return share ? fmt::format("{:.1f} %", 100 * *share) : "n/a"; }

std::string count_text(std::uint64_t n, std::string_view one) { return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s"); }

}   // namespace pikv::runtime::analyze
