#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {
namespace {

/// Says what it was told, by table and block.
class Told final : public Scheduler {
 public:
  explicit Told(std::vector<std::vector<float>> utility) : utility_{std::move(utility)} {}
  void utilities(std::int32_t table, std::span<Block const> pages, Budget const&, std::span<float> u) override {
    for (std::size_t i = 0; i < pages.size(); ++i) u[i] = utility_.at(static_cast<std::size_t>(table)).at(static_cast<std::size_t>(pages[i]));
  }
  std::vector<std::int64_t> budgets(std::span<std::vector<Block> const> pages, Budget const& budget) override {
    asked = budget;
    return by_table.empty() ? Scheduler::budgets(pages, budget) : by_table;
  }

  std::vector<std::int64_t> by_table;
  Budget asked;

 private:
  std::vector<std::vector<float>> utility_;
};

std::vector<Block> evicted(Scheduler& scheduler, Tables const& held, std::int64_t tokens, std::int32_t table = 0) {
  std::vector<Eviction> evictions;
  choose_evictions(scheduler, held, {.length = 100, .tokens = tokens}, {}, {}, evictions);
  std::vector<Block> blocks;
  for (Eviction const& eviction : evictions)
    if (eviction.table == table) blocks.push_back(eviction.block);
  return blocks;
}

TEST(ChooseEvictions, TakesTheLowestUtilityFirstAndOfEqualOnesTheLowestBlock) {
  Told told{{{.5f, .2f, .9f, .2f, .1f}}};
  EXPECT_EQ(evicted(told, {hold(blocks(5))}, 2), (std::vector<Block>{4, 1, 3}));
  EXPECT_EQ(evicted(told, {hold(blocks(5))}, 3), (std::vector<Block>{4, 1}));
}

TEST(ChooseEvictions, EvictsExactlyAsManyPagesAsMustGo) {
  Told told{{std::vector<float>(10, .5f)}};
  for (std::int64_t tokens = 0; tokens <= 200; ++tokens)
    EXPECT_EQ(evicted(told, {hold(blocks(10), 16)}, tokens).size(), static_cast<std::size_t>(std::max<std::int64_t>(0, 10 - tokens / 16)));
}

TEST(ChooseEvictions, CountsPinnedPagesAndNeverEvictsThem) {
  Told told{{std::vector<float>(5, .5f)}};
  auto held = hold(blocks(5), 8);
  held[0].pinned = held[4].pinned = true;
  held[4].tokens = 3;   // open
  EXPECT_EQ(evicted(told, {held}, 27), (std::vector<Block>{1}));
  EXPECT_EQ(told.asked.tokens, 27 - 11);
  EXPECT_EQ(told.asked.length, 100);
  EXPECT_EQ(evicted(told, {held}, 26), (std::vector<Block>{1, 2}));
  EXPECT_EQ(evicted(told, {held}, 0), (std::vector<Block>{1, 2, 3}));
}

TEST(ChooseEvictions, GivesEachTableTheBudgetThePolicyAsksFor) {
  Told told{{{.1f, .2f, .3f, .4f}, {.4f, .3f, .2f, .1f}}};
  told.by_table = {1, 3};
  Tables const held{hold(blocks(4)), hold(blocks(4))};
  EXPECT_EQ(evicted(told, held, 2, 0), (std::vector<Block>{0, 1, 2}));
  EXPECT_EQ(evicted(told, held, 2, 1), (std::vector<Block>{3}));
}

TEST(ChooseEvictions, LeavesALayerWithinItsBudgetAlone) {
  Told told{{{.1f, .2f}}};
  EXPECT_TRUE(evicted(told, {hold(blocks(2))}, 2).empty());
  EXPECT_TRUE(evicted(told, {{}}, 0).empty());
}

TEST(ChooseEvictions, SparesUniquePagesAmongTwiceAsManyCandidatesAsMustGo) {
  std::vector<PageSummaries> const summaries{summaries_of({{1, 0, 0}, {0, 1, 0}, {0, 1, 0}, {0, 0, 1}, {0, 0, 1}})};
  Told told{{{.9f, .3f, .35f, .4f, .4f}}};
  Tables held{hold(blocks(5))};
  held[0][0].pinned = true;
  auto const left = [&](std::int64_t tokens, double redundancy) {
    return kept(told, held, {.length = 5, .tokens = tokens}, summaries, {.redundancy = redundancy}).front();
  };
  EXPECT_EQ(left(3, 0), (std::vector<Block>{0, 3, 4}));
  EXPECT_EQ(left(3, .5), (std::vector<Block>{0, 2, 4}));
  EXPECT_EQ(left(4, .5), (std::vector<Block>{0, 2, 3, 4}));
  held[0][4].pinned = true;
  told = Told{{{.9f, .3f, .4f, .35f, .1f}}};   // 3 is a twin of one that stays, 1 and 2 of each other
  EXPECT_EQ(left(4, .5), (std::vector<Block>{0, 2, 3, 4}));
  EXPECT_EQ(left(3, .5), (std::vector<Block>{0, 2, 4}));
  EXPECT_THROW(kept(told, held, {.length = 5, .tokens = 3}, {}, {.redundancy = .5}), std::logic_error);
}

TEST(ChooseEvictions, DividesWhatPinnedPagesLeaveWhereTablesDoNotHoldTheSame) {   // after a rewind behind an eviction
  Told told{{{.1f, .2f, .3f, .4f}, {.1f, .2f, .3f, .4f}}};
  Tables held{hold(blocks(4)), hold(blocks(4))};
  held[0][0].pinned = held[0][1].pinned = held[1][0].pinned = true;
  EXPECT_EQ(evicted(told, held, 3, 0), (std::vector<Block>{2}));
  EXPECT_EQ(told.asked.tokens, 1);   // (2 * 3 - 3) / 2
  EXPECT_EQ(evicted(told, held, 3, 1), (std::vector<Block>{1, 2}));
}

TEST(ChooseEvictions, RefusesWhatIsNoUtility) {
  for (float const wrong : {std::nanf(""), -.1f, 1.1f}) {
    Told told{{{wrong, .2f}}};
    EXPECT_THROW(evicted(told, {hold(blocks(2))}, 1), std::logic_error);
  }
}

}   // namespace
}   // namespace pikv::test
