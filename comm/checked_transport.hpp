#pragma once

#include <cstddef>
#include <vector>

#include "comm/transport.hpp"
#include "comm/world.hpp"

namespace pikv::comm {

/// What all transports share: sizes of every rank's parts, bounds checks and counts.
class CheckedTransport : public Transport {
 public:
  explicit CheckedTransport(World& world) : world_{world} {}
  TransportCounts const& counts() const final { return counts_; }
  /// Throws std::out_of_range (a bug of ours) if the bytes are not inside the peer's part.
  void check_inside(Rank peer, Offset at, std::size_t bytes) const;

 protected:
  /// Collective. Tells every rank the size of everyone's part of the next region and returns that region's id.
  RegionId agree_on_region(std::size_t bytes);
  std::size_t region_count() const { return sizes_.size(); }
  std::size_t part_bytes(Rank rank, RegionId region) const { return sizes_[region][static_cast<std::size_t>(rank)]; }

  /// check_inside and count.
  void check_put(Rank to, Offset at, std::size_t bytes);
  void check_get(Rank from, Offset at, std::size_t bytes);
  void check_atomic(Rank to, Offset at);
  void count_flush() { ++counts_.flushes; }
  World& world() const { return world_; }

 private:
  World& world_;
  std::vector<std::vector<std::size_t>> sizes_;   // [region][rank]
  TransportCounts counts_;
};

}  // namespace pikv::comm
