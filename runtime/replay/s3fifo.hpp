#pragma once

#include <cstdint>
#include <vector>

#include "runtime/replay/cache.hpp"
#include "runtime/replay/page_lists.hpp"

namespace pikv::runtime::replay {

/// S3-FIFO (Yang et al., SOSP 2023): new pages enter a small queue, a tenth of the places; at its end those read twice or more since go on to the
/// main queue, the others leave and are remembered in a ghost queue, as long as the main one. A remembered page enters the main queue at once. There,
/// pages read since they came by go round again. Where the paper's listing and its authors' simulator differ, as the simulator does: the ghost queue
/// is asked before anything is evicted, and a page moved to the main queue begins with no reads.
class S3Fifo final : public Cache {
 public:
  S3Fifo(Reads const& reads, Page capacity);
  bool read(Page page) override;

 private:
  enum : std::int8_t { small, main, ghost };
  bool full() const { return queues_.size(small) + queues_.size(main) == capacity_; }
  void evict();
  void evict_from_small();
  void evict_from_main();
  void remember(Page page);

  Page capacity_, small_places_;
  PageLists queues_;
  std::vector<std::uint8_t> reads_since_;   // up to 3
};

}   // namespace pikv::runtime::replay
