#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/replay/cache.hpp"
#include "runtime/scheduling/scheduler.hpp"

namespace pikv::runtime::replay {

/// A scheduler of the engine that decides from reads alone, as a cache: one page table, one token a page, a page's number is its block, a read is
/// a Reading of mass 1, a request a tick. The page of lowest utility goes.
/// Utilities are asked for once per `batch` evictions, since that costs as much as there are pages: the lowest `batch` go one by one as places are
/// needed, but one read meanwhile stays. For a policy of recency alone that is exactly one at a time, whatever `batch` is.
class SchedulerCache final : public Cache {
 public:
  SchedulerCache(std::unique_ptr<Scheduler> scheduler, Reads const& reads, Page capacity, Page batch);
  bool read(Page page) override;
  void end_request() override { scheduler_->tick(); }

  static Page usual_batch(Page capacity);   // 1 for less than 128 pages

 private:
  void evict();
  void choose_victims();

  std::unique_ptr<Scheduler> scheduler_;
  Page capacity_, batch_, size_ = 0, seen_ = 0;
  std::vector<char> held_;              // by page
  std::vector<std::int64_t> read_in_;   // by page: the last round in which it was read
  std::int64_t round_ = 0;              // of utilities
  std::vector<Block> held_pages_;       // all that are held, ascending as of the last round, and some that went
  std::vector<Page> victims_;           // the next one last
  std::vector<float> utilities_;
};

}   // namespace pikv::runtime::replay
