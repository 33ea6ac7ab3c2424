#include "runtime/replay/scheduler_cache.hpp"

#include <gmock/gmock.h>

#include "runtime/replay/lru.hpp"
#include "runtime/scheduling/schedulers.hpp"
#include "tests/runtime/replay/made_reads.hpp"

namespace pikv::runtime::replay {
namespace {

using ::testing::ElementsAre;

std::unique_ptr<Scheduler> made(char const* name) { return schedulers().at(name).make({.shape = {}, .summaries = {}, .keep = 1}); }

/// Writes down what it is told; the page of the lowest number is worth least.
struct Recorded {
  std::vector<std::vector<Block>> asked;
  std::vector<Block> read, forgotten;
  std::vector<float> masses;
  std::vector<std::int64_t> lengths, budgets;
  int ticks = 0;
};
class Recorder final : public Scheduler {
 public:
  explicit Recorder(Recorded& recorded) : recorded_{recorded} {}
  void read(Reading const& reading) override {
    recorded_.read.insert(recorded_.read.end(), reading.pages.begin(), reading.pages.end());
    recorded_.masses.insert(recorded_.masses.end(), reading.mass.begin(), reading.mass.end());
    EXPECT_GT(reading.first_position, reading.pages.back()) << "a page is not read before it is there";
  }
  void tick() override { ++recorded_.ticks; }
  void utilities(std::int32_t, std::span<Block const> pages, Budget const& budget, std::span<float> u) override {
    recorded_.asked.emplace_back(pages.begin(), pages.end());
    recorded_.lengths.push_back(budget.length);
    recorded_.budgets.push_back(budget.tokens);
    for (std::size_t i = 0; i < u.size(); ++i) u[i] = static_cast<float>(pages[i]) / 1000;
  }
  void forget(std::int32_t, Block page) override { recorded_.forgotten.push_back(page); }

 private:
  Recorded& recorded_;
};

TEST(SchedulerCacheTest, TellsTheSchedulerEveryReadTickAndEviction) {
  Reads const reads = reads_of({{0, 1}, {2, 0}, {3}});   // full with 0 1 2; 3 takes the place of 0
  Recorded recorded;
  SchedulerCache cache{std::make_unique<Recorder>(recorded), reads, 3, 1};
  EXPECT_THAT(hits_of(cache, reads), ElementsAre(false, false, false, true, false));
  EXPECT_THAT(recorded.read, ElementsAre(0, 1, 2, 0, 3));
  EXPECT_THAT(recorded.masses, ElementsAre(1, 1, 1, 1, 1));
  EXPECT_EQ(recorded.ticks, 3);
  EXPECT_THAT(recorded.asked, ElementsAre(ElementsAre(0, 1, 2)));
  EXPECT_THAT(recorded.forgotten, ElementsAre(0));
  EXPECT_THAT(recorded.lengths, ElementsAre(3));
  EXPECT_THAT(recorded.budgets, ElementsAre(3));
}

TEST(SchedulerCacheTest, APageThatWentAndCameBackIsAskedForOnceAndInOrder) {
  Reads const reads = one_request({0, 1, 2, 0, 3});
  Recorded recorded;
  SchedulerCache cache{std::make_unique<Recorder>(recorded), reads, 2, 1};
  (void)hits_of(cache, reads);
  EXPECT_THAT(recorded.asked, ElementsAre(ElementsAre(0, 1), ElementsAre(1, 2), ElementsAre(0, 2)));
}

TEST(SchedulerCacheTest, OfABatchWhatIsReadMeanwhileStays) {
  Reads const reads = one_request({0, 1, 2, 3, 1, 4});   // 3 asks: 0 and 1 are worth least; 1 is read; 4 asks anew
  Recorded recorded;
  SchedulerCache cache{std::make_unique<Recorder>(recorded), reads, 3, 2};
  (void)hits_of(cache, reads);
  EXPECT_THAT(recorded.asked, ElementsAre(ElementsAre(0, 1, 2), ElementsAre(1, 2, 3)));
  EXPECT_THAT(recorded.forgotten, ElementsAre(0, 1));
}

TEST(SchedulerCacheTest, TheSchedulerLruHitsWhatALinkedListHitsInBatchesOfAnySize) {
  for (std::uint64_t const seed : {1, 2, 3}) {
    Reads const reads = generated_reads({.requests = 400, .seed = seed, .prefixes = 10, .rate = 3});
    for (Page const capacity : {1, 5, 20, 100, 300, 1000}) {
      Lru list{reads, capacity};
      auto const expected = hits_of(list, reads);
      for (Page const batch : {1, 2, 7, SchedulerCache::usual_batch(capacity), capacity}) {
        SchedulerCache cache{made("lru"), reads, capacity, batch};
        ASSERT_EQ(hits_of(cache, reads), expected) << "capacity " << capacity << ", batch " << batch << ", seed " << seed;
      }
    }
  }
}

TEST(SchedulerCacheTest, BatchesChangeTheHitsOfNoSchedulerByAThousandthOfTheReads) {
  Reads const reads = generated_reads({.requests = 1500, .prefixes = 50});
  for (auto const& [name, entry] : schedulers())
    if (entry.replays)
      for (Page const capacity : {128, 256, 1024}) {
        auto const hits = [&, made = entry.make](Page batch) {
          SchedulerCache cache{made({.shape = {}, .summaries = {}, .keep = 1}), reads, capacity, batch};
          return static_cast<double>(replay(cache, reads).hits);
        };
        EXPECT_NEAR(hits(SchedulerCache::usual_batch(capacity)), hits(1), .001 * static_cast<double>(reads.pages.size()))
            << name << ", capacity " << capacity;
      }
}

}   // namespace
}   // namespace pikv::runtime::replay
