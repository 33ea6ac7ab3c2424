#pragma once

#include "runtime/replay/cache.hpp"
#include "runtime/replay/page_lists.hpp"

namespace pikv::runtime::replay {

/// The page that was read longest ago goes: an ordinary linked list.
class Lru final : public Cache {
 public:
  Lru(Reads const& reads, Page capacity) : capacity_{capacity}, lists_{1, reads.distinct} {}

  bool read(Page page) override {
    bool const hit = lists_.list_of(page) == held;
    if (hit)
      lists_.remove(page);
    else if (lists_.size(held) == capacity_)
      lists_.pop_back(held);
    lists_.push_front(held, page);
    return hit;
  }

 private:
  static constexpr std::int8_t held = 0;
  Page capacity_;
  PageLists lists_;
};

}   // namespace pikv::runtime::replay
