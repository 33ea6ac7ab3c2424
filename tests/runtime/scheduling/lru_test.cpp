#include "runtime/scheduling/lru.hpp"

#include <gtest/gtest.h>

#include <list>
#include <random>

#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {
namespace {

/// A cache of so many pages under any policy: what it evicts, in order.
class Cache {
 public:
  Cache(Scheduler& scheduler, std::size_t capacity) : scheduler_{scheduler}, capacity_{capacity} {}

  void access(std::vector<Block> const& pages) {
    request(scheduler_, pages);
    for (Block const page : pages)
      if (std::find(held_.begin(), held_.end(), page) == held_.end()) held_.insert(std::lower_bound(held_.begin(), held_.end(), page), page);
    std::vector<Eviction> evictions;
    choose_evictions(scheduler_, Tables{hold(held_)}, {.length = 0, .tokens = static_cast<std::int64_t>(capacity_)}, {}, {}, evictions);
    for (Eviction const& eviction : evictions) {
      scheduler_.forget(0, eviction.block);
      std::erase(held_, eviction.block);
      evicted.push_back(eviction.block);
    }
  }

  std::vector<Block> evicted;

 private:
  Scheduler& scheduler_;
  std::size_t capacity_;
  std::vector<Block> held_;
};

class LinkedList {
 public:
  explicit LinkedList(std::size_t capacity) : capacity_{capacity} {}

  void access(std::vector<Block> pages) {
    std::sort(pages.begin(), pages.end());
    for (Block const page : pages) {
      newest_first_.remove(page);
      newest_first_.push_front(page);
    }
    for (; newest_first_.size() > capacity_; newest_first_.pop_back()) evicted.push_back(newest_first_.back());
  }

  std::vector<Block> evicted;

 private:
  std::size_t capacity_;
  std::list<Block> newest_first_;
};

TEST(Lru, EvictsWhatTheExampleEvicts) {
  Block constexpr a = 0, b = 1, c = 2, d = 3;
  auto const lru = make_lru(material());
  Cache cache{*lru, 3};
  for (Block const page : {a, b, c, a, d}) cache.access({page});
  EXPECT_EQ(cache.evicted, (std::vector<Block>{b}));
  cache.access({b});
  EXPECT_EQ(cache.evicted, (std::vector<Block>{b, c}));
}

TEST(Lru, EvictsExactlyWhatALinkedListEvicts) {
  for (unsigned const seed : {1u, 2u, 3u}) {
    std::mt19937 random{seed};
    for (std::size_t const capacity : {std::size_t{1}, std::size_t{7}, std::size_t{40}}) {
      auto const lru = make_lru(material());
      Cache cache{*lru, capacity};
      LinkedList list{capacity};
      for (int step = 0; step < 2000; ++step) {
        std::vector<Block> pages;
        for (unsigned i = 0; i <= random() % std::min<unsigned>(3, static_cast<unsigned>(capacity)); ++i) {
          auto const page = static_cast<Block>(random() % 60);
          if (std::find(pages.begin(), pages.end(), page) == pages.end()) pages.push_back(page);
        }
        cache.access(pages);
        list.access(pages);
      }
      EXPECT_GT(list.evicted.size(), 100u);
      EXPECT_EQ(cache.evicted, list.evicted) << "capacity " << capacity << ", seed " << seed;
    }
  }
}

TEST(Lru, KeepsTheOrderOfPagesThatWereReadAMillionStepsAgo) {
  auto const lru = make_lru(material());
  for (Block const page : {2, 0, 1}) request(*lru, {page});
  for (int step = 0; step < 1'000'000; ++step) lru->tick();
  request(*lru, {3});
  auto const u = utilities(*lru, {0, 1, 2, 3});
  EXPECT_LT(u[2], u[0]);
  EXPECT_LT(u[0], u[1]);
  EXPECT_LT(u[1], u[3]);
}

TEST(Lru, CountsNoReadThatGaveAlmostNoAttention) {
  auto const lru = make_lru(material());
  read(*lru, 0, {0, 1, 2, 3}, {.25f, .25f, .25f, .25f});
  lru->tick();
  read(*lru, 9, {0, 1, 2, 3}, {.50f, .12f, .13f, .25f});   // 1/(2n) = .125
  lru->tick();
  auto const u = utilities(*lru, {0, 1, 2, 3});
  EXPECT_LT(u[1], u[0]);
  EXPECT_EQ(u[2], u[0]);
  EXPECT_EQ(u[3], u[0]);
}

TEST(Lru, CountsAnAppendAsARead) {
  auto const lru = make_lru(material({.page_tokens = 4}));
  read(*lru, 7, {0, 1}, {.5f, .5f});
  lru->tick();
  read(*lru, 8, {0, 1, 2}, {.5f, .5f, 0});
  lru->tick();
  read(*lru, 9, {0, 1, 2}, {1, 0, 0});
  lru->tick();
  auto const u = utilities(*lru, {0, 1, 2});
  EXPECT_LT(u[1], u[2]);
  EXPECT_EQ(u[2], u[0]);
}

}   // namespace
}   // namespace pikv::test
