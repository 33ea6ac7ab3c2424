// The store as an engine uses it, against attention in double precision over the keys and values that should be there.
#include <gtest/gtest.h>

#include "tests/shards/store_runs.hpp"

namespace pikv::shards::testing {
namespace {

constexpr double close_enough = 2e-6;   // values and outputs are below 1 in magnitude; fp32 sums of at most 200 terms

struct Shape {
  int ranks;
  std::int32_t page_tokens, rows;
  Move move;
  char const* home;
  bool local;
};

class StoreShapes : public ::testing::TestWithParam<Shape> {};

TEST_P(StoreShapes, AttentionIsExactWhereverPagesLive) {
  Shape const shape = GetParam();
  StoreOptions options = small_options();
  options.layout.page_tokens = shape.page_tokens;
  options.fingerprint = page_fingerprint({1, 2}, options.layout);
  options.move = shape.move;
  options.replica_slots = shape.move == Move::query ? 0 : 60;
  options.home = shape.home;
  options.local = shape.local;
  SmallEngine::Plan plan;
  plan.length = 61;
  plan.rows = shape.rows;
  Outcome const outcome = run(shape.ranks, options, plan);
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_EQ(outcome.outputs, static_cast<std::uint64_t>(shape.ranks) * 2 * 61 * 2 * 4);   // streams, tokens, layers, heads
  EXPECT_EQ(outcome.counts.pages_remote > 0, shape.ranks > 1 && !shape.local);
  EXPECT_EQ(outcome.counts.pages_fetched > 0, shape.move != Move::query && shape.ranks > 1 && !shape.local);
  EXPECT_EQ(outcome.counts.corrupt + outcome.counts.stale + outcome.counts.rewinds, 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, StoreShapes,
    ::testing::Values(Shape{1, 4, 3, Move::query, "mod", false}, Shape{2, 4, 3, Move::query, "mod", false}, Shape{3, 4, 3, Move::query, "mod", false},
                      Shape{4, 8, 5, Move::query, "round_robin", false}, Shape{16, 4, 7, Move::query, "mod", false}, Shape{3, 1, 1, Move::query, "mod", false},
                      Shape{2, 4, 3, Move::page, "mod", false}, Shape{3, 4, 16, Move::page, "mod", false}, Shape{4, 2, 5, Move::automatic, "mod", false},
                      Shape{3, 4, 3, Move::query, "mod", true}));

TEST(Store, PagesOfAFullOwnerGoToTheNextChoice) {
  StoreOptions options = small_options();
  options.slots = 160;
  options.home_slots = 130;   // 30 for shards on each of 3 ranks, 3 streams x 15 blocks x 2 layers want them
  SmallEngine::Plan plan;
  plan.streams = 1;
  plan.length = 60;
  Outcome const outcome = run(3, options, plan);
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_EQ(outcome.counts.rewinds, 0u);
  EXPECT_GT(outcome.counts.pages_remote, 40u);
}

std::vector<Slot> indexed_pages(Store& store) {
  std::vector<Slot> slots;
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(store.arena().slots(0)); ++i) {
    Slot const slot{i, 0};
    PageKey const& key = store.arena().header(slot).key;
    if (store.owner().holds({i, static_cast<std::uint32_t>(store.arena().generation(slot))}, key.stream, key.layer)) slots.push_back(slot);
  }
  return slots;
}

// Too few copies for all pages of a layer, so pages are fetched again and again.
StoreOptions few_copies() {
  StoreOptions options = small_options();
  options.move = Move::page;
  options.replica_slots = 12;
  return options;
}

TEST(Store, EvictedPagesAreFoundStaleAndTheirStreamsComputedAgain) {
  SmallEngine::Plan plan;
  plan.length = 80;
  plan.between = [](Step step, Store& store) {
    if (step != 12) return;
    for (Slot const slot : indexed_pages(store)) store.owner().evict(slot, step);
  };
  for (StoreOptions const& options : {small_options(), few_copies()}) {
    Outcome const outcome = run(3, options, plan);
    EXPECT_LT(outcome.worst, close_enough);
    EXPECT_GT(outcome.counts.stale, 0u);
    EXPECT_GT(outcome.rewinds, 0u);
  }
}

TEST(Store, AByteThatRotsInAnOwnersMemoryIsNeverFetchedAsAPage) {
  SmallEngine::Plan plan;
  plan.length = 80;
  plan.between = [](Step step, Store& store) {
    if (step != 12) return;
    for (Slot const slot : indexed_pages(store)) store.arena().payload(slot)[17] ^= std::byte{4};
  };
  plan.rows = 1;   // one row asks for less than a page, so a query would be cheaper: only --move page fetches here
  Outcome const outcome = run(3, few_copies(), plan);
  EXPECT_GT(outcome.counts.corrupt, 0u);
  EXPECT_GT(outcome.rewinds, 0u);
}

TEST(Store, AllMemoryIsFreeWhenAllStreamsAreReleased) {
  comm::run_inprocess({.ranks = 3}, [](comm::World& world) {
    Store store{world, small_options()};
    std::size_t const before = store.memory().total();
    SmallEngine engine{world, store, SmallEngine::Plan{}};
    engine.run();
    EXPECT_EQ(store.memory().resident(), 0u);
    EXPECT_EQ(store.memory().total(), before);
    EXPECT_EQ(store.tokens_resident(), 0u);
    EXPECT_EQ(store.owner().pages(), 0u);
    EXPECT_EQ(store.arena().free_slots(0) + store.owner().lent(), 400u);
    EXPECT_EQ(store.owner().used(), store.owner().lent());
  });
}

TEST(Store, TheSameSeedGivesTheSameCounts) {
  SmallEngine::Plan const plan;
  Outcome const a = run(4, small_options(), plan, 7), b = run(4, small_options(), plan, 7);
  EXPECT_EQ(a.counts.page_reads, b.counts.page_reads);
  EXPECT_EQ(a.counts.pages_pushed, b.counts.pages_pushed);
  EXPECT_EQ(a.worst, b.worst);
}

}  // namespace
}  // namespace pikv::shards::testing
