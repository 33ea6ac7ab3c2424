#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pikv::runtime::analyze {

/// Numbers as a person reads them.
std::string bytes_text(double bytes);                            // "512 B", "1.5 MiB"
std::string seconds_text(double seconds);                        // "0 s", "3.1 us", "2.0 ms", "1.50 s"
std::string seconds_text(std::optional<double> seconds);         // or "n/a"
std::string share_text(std::optional<double> share);             // 0.125: "12.5 %", or "n/a"
std::string count_text(std::uint64_t n, std::string_view one);   // "1 rank", "3 ranks"

/// None where there is no whole.
inline std::optional<double> share_of(double part, double whole) { return whole > 0 ? std::optional{part / whole} : std::nullopt; }

}   // namespace pikv::runtime::analyze
