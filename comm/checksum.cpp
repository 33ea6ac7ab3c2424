#include "comm/checksum.hpp"

#include <xxhash.h>

namespace pikv::comm {

std::uint64_t checksum(std::span<std::byte const> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace pikv::comm
