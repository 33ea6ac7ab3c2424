#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "runtime/replay/cache.hpp"

namespace pikv::runtime::replay {

using Queue = std::deque<Page>;   // newest first

inline bool take(Queue& queue, Page page) { return std::erase(queue, page) > 0; }
inline std::size_t size_of(Page pages) { return static_cast<std::size_t>(pages); }

/// The page whose last read is the smallest number goes.
class PlainLru final : public Cache {
 public:
  explicit PlainLru(Page capacity) : capacity_{size_of(capacity)} {}
  bool read(Page page) override {
    bool const hit = last_.contains(page);
    if (!hit && last_.size() == capacity_) last_.erase(std::ranges::min_element(last_, {}, [](auto const& entry) { return entry.second; }));
    last_[page] = ++now_;
    return hit;
  }

 private:
  std::size_t capacity_;
  std::map<Page, std::int64_t> last_;
  std::int64_t now_ = 0;
};

/// As the authors' simulator libCacheSim does it. `fills_main_first`: while nothing was evicted yet, a full small queue lets new pages into the main
/// one; its later versions do that, the paper does not.
class PlainS3Fifo final : public Cache {
 public:
  PlainS3Fifo(Page capacity, bool fills_main_first)
      : capacity_{size_of(capacity)}, small_places_{std::max<std::size_t>(1, capacity_ / 10)}, fills_main_first_{fills_main_first} {}

  bool read(Page page) override {
    if (in(small_, page) || in(main_, page)) {
      ++reads_[page];
      return true;
    }
    bool const was_ghost = take(ghost_, page);
    while (small_.size() + main_.size() >= capacity_) make_room();
    bool const to_main = was_ghost || (fills_main_first_ && !evicted_ && small_.size() >= small_places_);
    (to_main ? main_ : small_).push_front(page);
    reads_[page] = 0;
    return false;
  }

 private:
  static bool in(Queue const& queue, Page page) { return std::ranges::find(queue, page) != queue.end(); }

  void make_room() {
    evicted_ = true;
    bool const main_is_over = main_.size() > capacity_ - small_places_;
    if (main_is_over || small_.empty())
      while (!leaves_main()) {
      }
    else
      while (!small_.empty() && !leaves_small()) {
      }
  }

  bool leaves_main() {
    Page const page = last_of(main_);
    int const reads = std::min(reads_[page], 3);
    if (reads == 0) return true;
    main_.push_front(page);
    reads_[page] = reads - 1;
    return false;
  }

  bool leaves_small() {
    Page const page = last_of(small_);
    bool const goes_on = reads_[page] > 1;
    reads_[page] = 0;
    (goes_on ? main_ : ghost_).push_front(page);
    if (ghost_.size() > capacity_ - small_places_) ghost_.pop_back();
    return !goes_on;
  }

  static Page last_of(Queue& queue) {
    Page const page = queue.back();
    queue.pop_back();
    return page;
  }

  std::size_t capacity_, small_places_;
  bool fills_main_first_, evicted_ = false;
  Queue small_, main_, ghost_;
  std::map<Page, int> reads_;
};

/// The four cases of figure 4 of the paper, line by line.
class PlainArc final : public Cache {
 public:
  explicit PlainArc(Page capacity) : c_{static_cast<double>(capacity)} {}

  bool read(Page x) override {
    if (take(t1_, x) || take(t2_, x)) {   // case I
      t2_.push_front(x);
      return true;
    }
    double const b1 = size(b1_), b2 = size(b2_);
    if (has(b1_, x)) {   // case II
      p_ = std::min(c_, p_ + (b1 >= b2 ? 1 : b2 / b1));
      replace(x);
      take(b1_, x);
      t2_.push_front(x);
    } else if (has(b2_, x)) {   // case III
      p_ = std::max(0.0, p_ - (b2 >= b1 ? 1 : b1 / b2));
      replace(x);
      take(b2_, x);
      t2_.push_front(x);
    } else {   // case IV
      double const l1 = size(t1_) + b1, l2 = size(t2_) + b2;
      if (l1 == c_) {
        if (size(t1_) < c_) {
          b1_.pop_back();
          replace(x);
        } else {
          t1_.pop_back();
        }
      } else if (l1 + l2 >= c_) {
        if (l1 + l2 == 2 * c_) b2_.pop_back();
        replace(x);
      }
      t1_.push_front(x);
    }
    return false;
  }

 private:
  static bool has(Queue const& queue, Page page) { return std::ranges::find(queue, page) != queue.end(); }
  static double size(Queue const& queue) { return static_cast<double>(queue.size()); }

  void replace(Page x) {
    bool const demote_t1 = size(t1_) >= 1 && ((has(b2_, x) && size(t1_) == p_) || size(t1_) > p_);
    Queue& from = demote_t1 ? t1_ : t2_;
    (demote_t1 ? b1_ : b2_).push_front(from.back());
    from.pop_back();
  }

  double c_, p_ = 0;
  Queue t1_, t2_, b1_, b2_;
};

/// The most hits that any choice of what goes can have, by trying all.
inline int most_hits(Reads const& reads, std::size_t capacity) {
  std::map<std::set<Page>, int> best{{{}, 0}};   // what is held -> hits so far
  for (Page const page : reads.pages) {
    std::map<std::set<Page>, int> next;
    auto const reach = [&](std::set<Page> held, int hits) {
      held.insert(page);
      auto& most = next.try_emplace(held, hits).first->second;
      most = std::max(most, hits);
    };
    for (auto const& [held, hits] : best) {
      if (held.contains(page) || held.size() < capacity) {
        reach(held, hits + held.contains(page));
        continue;
      }
      for (Page const goes : held) {
        auto left = held;
        left.erase(goes);
        reach(left, hits);
      }
    }
    best = next;
  }
  int most = 0;
  for (auto const& [held, hits] : best) most = std::max(most, hits);
  return most;
}

}   // namespace pikv::runtime::replay
