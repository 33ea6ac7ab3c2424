#include "comm/checksum.hpp"

#define XXH_DISPATCH_DISABLE_REPLACE
#include <xxh_x86dispatch.h>

namespace pikv::comm {

std::uint64_t checksum(std::span<std::byte const> bytes) {
  constexpr std::size_t worth_dispatching = 8192;   // below, wide vectors cost more to begin than they save
  if (bytes.size() < worth_dispatching) return XXH3_64bits(bytes.data(), bytes.size());
  return XXH3_64bits_dispatch(bytes.data(), bytes.size());
}

}  // namespace pikv::comm
