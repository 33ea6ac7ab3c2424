#include "runtime/replay/scheduler_cache.hpp"

#include <algorithm>
#include <span>
#include <utility>

namespace pikv::runtime::replay {
namespace {

std::size_t at(Page page) { return static_cast<std::size_t>(page); }

}   // namespace

SchedulerCache::SchedulerCache(std::unique_ptr<Scheduler> scheduler, Reads const& reads, Page capacity, Page batch)
    : scheduler_{std::move(scheduler)}, capacity_{capacity}, batch_{batch}, held_(at(reads.distinct)), read_in_(at(reads.distinct)) {}

Page SchedulerCache::usual_batch(Page capacity) { return std::max(1, capacity / 64); }

bool SchedulerCache::read(Page page) {
  bool const hit = held_[at(page)] != 0;
  if (!hit) {
    if (size_ == capacity_) evict();
    held_[at(page)] = 1;
    held_pages_.push_back(page);
    ++size_;
  }
  read_in_[at(page)] = round_;
  seen_ = std::max(seen_, page + 1);
  float const everything = 1;
  scheduler_->read({.table = 0, .first_position = seen_, .rows = 1, .pages = std::span{&page, 1}, .mass = std::span{&everything, 1}});
  return hit;
}

void SchedulerCache::evict() {
  for (;;) {
    if (victims_.empty()) choose_victims();
    Page const page = victims_.back();
    victims_.pop_back();
    if (read_in_[at(page)] == round_) continue;
    held_[at(page)] = 0;
    --size_;
    scheduler_->forget(0, page);
    return;
  }
}

void SchedulerCache::choose_victims() {
  ++round_;
  std::erase_if(held_pages_, [&](Page page) { return held_[at(page)] == 0; });
  std::ranges::sort(held_pages_);
  held_pages_.erase(std::unique(held_pages_.begin(), held_pages_.end()), held_pages_.end());   // one that went and came back stands there twice
  utilities_.resize(held_pages_.size());
  scheduler_->utilities(0, held_pages_, {.length = seen_, .tokens = capacity_}, utilities_);

  std::vector<std::pair<float, Page>> order;
  for (std::size_t i = 0; i < held_pages_.size(); ++i) order.emplace_back(utilities_[i], held_pages_[i]);
  auto const lowest = order.begin() + std::min<std::ptrdiff_t>(batch_, std::ssize(order));
  std::ranges::partial_sort(order, lowest);
  for (auto victim = lowest; victim != order.begin();) victims_.push_back((--victim)->second);
}

}   // namespace pikv::runtime::replay
