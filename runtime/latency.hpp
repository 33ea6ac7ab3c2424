#pragma once

#include <optional>
#include <vector>

#include "runtime/request.hpp"

namespace pikv::runtime {

/// Time to first token: from the arrival, in s. None for a request that generated nothing.
std::optional<double> ttft_s(Result const& result);

/// Time per output token after the first: (end - first token) / (generated - 1), in s. None below two tokens.
std::optional<double> tpot_s(Result const& result);

struct Percentiles {
  double p50 = 0, p95 = 0, p99 = 0;
};

/// By nearest rank: the value at place ceil(q n) of the sorted list, so always one that was measured. None of an empty list.
std::optional<Percentiles> percentiles(std::vector<double> values);

}  // namespace pikv::runtime
