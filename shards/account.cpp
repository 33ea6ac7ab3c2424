#include "shards/account.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace pikv::shards {

char const* to_string(Memory category) {
  switch (category) {
    case Memory::payload: return "payload";
    case Memory::header: return "header";
    case Memory::summaries: return "summaries";
    case Memory::slack: return "slack";
    case Memory::replicas: return "replicas";
    case Memory::free: return "free";
  }
  return "unknown";
}

void MemoryAccount::allocated(std::size_t bytes) {
  bytes_[static_cast<std::size_t>(Memory::free)] += bytes;
  total_ += bytes;
}

void MemoryAccount::move(Memory from, Memory to, std::size_t bytes) {
  std::size_t& source = bytes_[static_cast<std::size_t>(from)];
  if (source < bytes) {
    throw std::logic_error("memory account: " + std::to_string(bytes) + " bytes asked of " + to_string(from) + ", which holds " +
                           std::to_string(source));
  }
  source -= bytes;
  bytes_[static_cast<std::size_t>(to)] += bytes;
  peak_ = std::max(peak_, resident());
}

void MemoryAccount::outside(Memory category, std::size_t bytes) {
  auto const at = static_cast<std::size_t>(category);
  total_ += bytes - outside_[at];
  bytes_[at] += bytes - outside_[at];
  outside_[at] = bytes;
  peak_ = std::max(peak_, resident());
}

}  // namespace pikv::shards
