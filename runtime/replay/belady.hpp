#pragma once

#include <cstddef>
#include <queue>
#include <utility>
#include <vector>

#include "runtime/replay/cache.hpp"

namespace pikv::runtime::replay {

/// Knows the future (Belady 1966): the page whose next read is furthest away goes. No cache that must take in what is read has more hits. To be given
/// the reads it was made with, in their order.
class Belady final : public Cache {
 public:
  Belady(Reads const& reads, Page capacity);
  bool read(Page page) override;

 private:
  using Moment = std::size_t;   // number of a read; that of the end: never again
  static constexpr Moment not_held = static_cast<Moment>(-1);
  void evict();

  Page capacity_, held_ = 0;
  Moment now_ = 0;
  std::vector<Moment> next_;                                // by read: when the same page is read again
  std::vector<Moment> due_;                                 // by page: its next read
  std::priority_queue<std::pair<Moment, Page>> furthest_;   // those that are not due_ any more are left over
};

}   // namespace pikv::runtime::replay
