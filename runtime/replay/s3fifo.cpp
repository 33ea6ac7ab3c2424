#include "runtime/replay/s3fifo.hpp"

#include <algorithm>

namespace pikv::runtime::replay {

S3Fifo::S3Fifo(Reads const& reads, Page capacity)
    : capacity_{capacity},
      small_places_{std::max(1, capacity / 10)},
      queues_{3, reads.distinct},
      reads_since_(static_cast<std::size_t>(reads.distinct)) {}

bool S3Fifo::read(Page page) {
  auto& reads = reads_since_[static_cast<std::size_t>(page)];
  auto const queue = queues_.list_of(page);
  if (queue == small || queue == main) {
    reads = static_cast<std::uint8_t>(std::min(reads + 1, 3));
    return true;
  }
  if (queue == ghost) queues_.remove(page);
  while (full()) evict();
  queues_.push_front(queue == ghost ? main : small, page);
  reads = 0;
  return false;
}

void S3Fifo::evict() {
  if (queues_.size(small) >= small_places_)
    evict_from_small();
  else
    evict_from_main();
}

void S3Fifo::evict_from_small() {
  while (queues_.size(small) > 0) {
    Page const page = queues_.pop_back(small);
    if (reads_since_[static_cast<std::size_t>(page)] < 2) return remember(page);
    queues_.push_front(main, page);
    reads_since_[static_cast<std::size_t>(page)] = 0;
  }
}

void S3Fifo::evict_from_main() {
  for (;;) {
    Page const page = queues_.pop_back(main);
    auto& reads = reads_since_[static_cast<std::size_t>(page)];
    if (reads == 0) return;
    --reads;
    queues_.push_front(main, page);
  }
}

void S3Fifo::remember(Page page) {
  queues_.push_front(ghost, page);
  if (queues_.size(ghost) > capacity_ - small_places_) queues_.pop_back(ghost);
}

}   // namespace pikv::runtime::replay
