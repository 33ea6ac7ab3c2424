#include "comm/checksum.hpp"

#define XXH_DISPATCH_DISABLE_REPLACE
#include <xxh_x86dispatch.h>

namespace pikv::comm {

std::uint64_t checksum(std::span<std::byte const> bytes) { return XXH3_64bits_dispatch(bytes.data(), bytes.size()); }

}  // namespace pikv::comm
