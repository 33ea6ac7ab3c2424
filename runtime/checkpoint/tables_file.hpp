#pragma once

#include <filesystem>
#include <vector>

#include "runtime/checkpoint/format.hpp"

namespace pikv::runtime {

/// Writes a checkpoint but for its pages, whose room is named and not yet taken. For one rank: over MPI the ranks' clocks and options differ, and
/// what is written together must be the same everywhere. Throws RunError.
void write_tables(std::filesystem::path const& part, CheckpointFacts const& facts, PackedRequests const& requests, std::vector<PageRow> const& pages);

}  // namespace pikv::runtime
