#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pikv::comm {

/// A column of its own for every row, so that the sum of their costs is least.
///   costs [rows][columns], rows <= columns, each from 0 to 2^50
/// Takes rows^2 * columns steps. The same choice every time.
std::vector<int> assign(std::span<std::vector<std::int64_t> const> costs);

}  // namespace pikv::comm
