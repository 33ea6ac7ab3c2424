#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "comm/world.hpp"

namespace pikv::comm {

/// How long the collective calls that take no deadline (make_exchange, allocate) wait for the other ranks.
inline constexpr double setup_seconds = 60;

/// Collective. Throws std::logic_error on every rank if ranks bring different bytes for `what`.
void expect_same_everywhere(World& world, std::span<std::byte const> mine, std::string const& what);

/// The sentence for ranks that did not come to an all_gather in time.
std::string missing_ranks_sentence(std::vector<Rank> const& missing);

}  // namespace pikv::comm
