#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace pikv::runtime {

/// Attention sinks: the first tokens of a sequence, always kept exact, and so unlike the others that moments leave them out (methods 3.0).
inline constexpr std::int32_t sinks = 4;

/// One window in five is held out: the fifth, the tenth, ...
constexpr bool is_held_out(std::int64_t window) { return window % 5 == 4; }

/// The windows of which keys, values and some queries are kept as they are: so many from the beginning, of each kind.
inline std::vector<std::int64_t> sampled_windows(std::int64_t windows) {
  constexpr std::int64_t fit = 8, held_out = 2;
  std::vector<std::int64_t> chosen;
  std::int64_t left[2] = {fit, held_out};
  for (std::int64_t window = 0; window < windows; ++window)
    if (left[is_held_out(window) ? 1 : 0]-- > 0) chosen.push_back(window);
  return chosen;
}

}   // namespace pikv::runtime
