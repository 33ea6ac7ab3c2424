#pragma once

#include <string>
#include <vector>

#include "runtime/checkpoint/format.hpp"

namespace pikv::runtime {

/// Everything a checkpoint holds besides pages, as one number of 16 hexadecimal digits: a page carries its own checksums, the tables have
/// this one (attribute `tables_xxh3` of the root). docs/checkpoint.md says over which bytes.
std::string tables_digest(CheckpointFacts const& facts, PackedRequests const& requests, std::vector<PageRow> const& pages);

}  // namespace pikv::runtime
