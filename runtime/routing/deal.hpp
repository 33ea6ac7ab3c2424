#pragma once

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "shards/kv_expert.hpp"

namespace pikv::runtime {

/// chosen = (first + j) mod experts, j < k (methods 2.1).
inline void deal(std::uint64_t first, shards::KvExpert experts, std::int32_t k, std::vector<shards::KvExpert>& chosen) {
  if (k < 0 || k > experts) throw std::logic_error("asked for more experts than there are");
  auto const count = static_cast<std::uint64_t>(experts);
  chosen.clear();
  for (std::int32_t j = 0; j < k; ++j) chosen.push_back(static_cast<shards::KvExpert>((first % count + static_cast<std::uint64_t>(j)) % count));
}

}  // namespace pikv::runtime
