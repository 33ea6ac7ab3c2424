#include "shards/tier.hpp"

#include <cstdlib>
#include <stdexcept>

namespace pikv::shards {

char const* to_string(TierKind kind) {
  switch (kind) {
    case TierKind::fast: return "fast";
    case TierKind::host: return "host";
    case TierKind::file: return "file";
  }
  return "unknown";
}

std::string default_tier_folder() {
  char const* const folder = std::getenv("TMPDIR");
  return folder != nullptr && *folder != '\0' ? folder : "/tmp";
}

std::int64_t Places::take() {
  if (free_.empty()) {
    used_.push_back(true);
    return static_cast<std::int64_t>(used_.size()) - 1;
  }
  std::int64_t const place = free_.back();
  free_.pop_back();
  used_[static_cast<std::size_t>(place)] = true;
  return place;
}

void Places::give_back(std::int64_t place) {
  if (!holds(place)) throw std::logic_error("tier: no page lies at place " + std::to_string(place));
  used_[static_cast<std::size_t>(place)] = false;
  free_.push_back(place);
}

bool Places::holds(std::int64_t place) const {
  return place >= 0 && place < static_cast<std::int64_t>(used_.size()) && used_[static_cast<std::size_t>(place)];
}

}  // namespace pikv::shards
