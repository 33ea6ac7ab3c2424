#include "runtime/latency.hpp"

#include <algorithm>

namespace pikv::runtime {

std::optional<double> ttft_s(Result const& result) {
  if (result.tokens.empty()) return std::nullopt;
  return result.first_token - result.arrival;
}

std::optional<double> tpot_s(Result const& result) {
  if (result.tokens.size() < 2) return std::nullopt;
  return (result.end - result.first_token) / static_cast<double>(result.tokens.size() - 1);
}

std::optional<Percentiles> percentiles(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  auto const at = [&](std::size_t percent) { return values[(percent * values.size() + 99) / 100 - 1]; };
  return Percentiles{.p50 = at(50), .p95 = at(95), .p99 = at(99)};
}

}  // namespace pikv::runtime
