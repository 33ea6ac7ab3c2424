#pragma once

#include <vector>

#include "runtime/replay/cache.hpp"
#include "runtime/replay/page_lists.hpp"

namespace pikv::runtime::replay {

/// LRU by request: of the pages that were last read by one request, the one read last in it goes first. What follows a prefix is of use only with the
/// prefix, and the prefix alone to more requests; so a page outlives those behind it. (vLLM frees blocks in this order.)
class PrefixLru final : public Cache {
 public:
  PrefixLru(Reads const& reads, Page capacity) : capacity_{capacity}, lists_{1, reads.distinct} {}

  bool read(Page page) override {
    bool const hit = lists_.list_of(page) == held;
    if (hit)
      lists_.remove(page);
    else if (lists_.size(held) == capacity_)
      lists_.pop_back(held);
    lists_.push_front(held, page);
    request_.push_back(page);
    return hit;
  }

  void end_request() override {
    for (auto page = request_.rbegin(); page != request_.rend(); ++page)
      if (lists_.list_of(*page) == held) lists_.move_to_front(held, *page);
    request_.clear();
  }

 private:
  static constexpr std::int8_t held = 0;
  Page capacity_;
  PageLists lists_;
  std::vector<Page> request_;   // read so far
};

}   // namespace pikv::runtime::replay
