#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pikv::comm {

/// xxh3 (64 bit, seed 0) of the bytes: what frames and pages carry. Long blocks use the widest vectors of this processor.
std::uint64_t checksum(std::span<std::byte const> bytes);

}  // namespace pikv::comm
