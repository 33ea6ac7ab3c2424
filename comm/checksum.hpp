#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pikv::comm {

/// xxh3 (64 bit, seed 0) of the bytes: what frames and pages carry. Uses the widest vectors of this processor at every length.
std::uint64_t checksum(std::span<std::byte const> bytes);

}  // namespace pikv::comm
