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
  EXPECT_GT(outcome.counts.scrubbed, outcome.counts.pages_sealed);   // the scrub saw pages come, stay and go, and raised no false alarm
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
  StoreOptions options = few_copies();
  options.scrub_bytes_per_step = 0;   // so that the fetch must find it
  Outcome const outcome = run(3, options, plan);
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_GT(outcome.counts.corrupt, 0u);
  EXPECT_GT(outcome.rewinds, 0u);
}

TEST(Store, AStreamIsOpenOnce) {
  comm::run_inprocess({.ranks = 1}, [](comm::World& world) {
    Store store{world, small_options()};
    Stream& stream = store.open({1, 2}, 4);
    EXPECT_THROW(store.open({1, 2}, 4), std::logic_error);
    store.open({1, 3}, 4);
    store.release(stream);
    store.open({1, 2}, 4);
  });
}

// More streams than drops fit into a control message lose a page in one step. What is dropped late must not take what was pushed since.
TEST(Store, AStreamWhoseDropHadToWaitIsComputedAgainOnce) {
  constexpr int streams = 1200;
  static_assert(streams > 4 * static_cast<int>(Home::most_drops));
  StoreOptions options = small_options();
  options.layers = options.layout.kv_heads = 1;
  options.q_heads = 1;
  options.layout.page_tokens = 2;
  options.fingerprint = page_fingerprint({1, 2}, options.layout);
  options.most_streams = streams;
  options.most_rows = 2 * streams;
  options.most_blocks = 16;
  options.slots = 16 * streams;
  options.home_slots = 8 * streams;
  Outcome outcome;
  comm::run_inprocess({.ranks = 2}, [&](comm::World& world) {
    SmallEngine::Plan plan;
    plan.length = 20;
    plan.rows = 2;
    plan.streams = world.rank() == 0 ? streams : 0;
    plan.between = [](Step step, Store& store) {
      if (step != 6) return;
      for (Slot const slot : indexed_pages(store)) store.owner().evict(slot, step);
    };
    run_on(world, options, plan, outcome);
  });
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_GT(outcome.rewinds, 4 * Home::most_drops);   // most streams had a page there
  EXPECT_LE(outcome.rewinds, static_cast<std::uint64_t>(streams));
}

// A hop is a sealing at the home, an arrival at the owner, a fetch: each costs the page's payload once.
TEST(Store, EachByteIsHashedOncePerHop) {
  for (Move const move : {Move::query, Move::page}) {
    StoreOptions options = small_options();
    options.move = move;
    options.replica_slots = move == Move::page ? 12 : 0;
    Counts counts;
    std::uint64_t hashed = 0;
    comm::run_inprocess({.ranks = 3}, [&](comm::World& world) {
      std::uint64_t const before = hashed_bytes();   // by this thread, which is this rank's
      Outcome outcome;
      run_on(world, options, SmallEngine::Plan{}, outcome);
      add(counts, outcome.counts);
      hashed += hashed_bytes() - before;
    });
    EXPECT_EQ(counts.checked, counts.pages_pushed + counts.pages_fetched + counts.scrubbed);
    EXPECT_EQ(hashed, (counts.pages_sealed + counts.checked) * options.layout.bytes());
    EXPECT_GT(counts.pages_pushed, 0u);
    EXPECT_EQ(counts.pages_fetched > 0, move == Move::page);
  }
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
