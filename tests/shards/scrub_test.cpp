// Rot in pages that were verified once: the background scrub finds it within a round, in the part of an owner as in that of a home, and the
// streams are computed again. Outputs are compared with attention over the true keys and values, as in store_test.cpp.
#include "shards/scrub.hpp"

#include <gtest/gtest.h>

#include <array>

#include "comm/faults.hpp"
#include "tests/shards/fake_transport.hpp"
#include "tests/shards/store_runs.hpp"

namespace pikv::shards::testing {
namespace {

constexpr double close_enough = 2e-6;

/// An arena of own sealed pages in every `every`-th slot, without any engine.
struct Walk {
  Walk(std::size_t slots, std::size_t every, std::size_t budget) {
    options.layout = {kernels::DType::bf16, 2, 16, 8};   // 1 KiB
    options.slots = slots;
    options.scrub_bytes_per_step = budget;
    arena = std::make_unique<Arena>(transport, std::vector<SizeClass>{{options.layout, slots}});
    owner = std::make_unique<Owner>(*arena, 0, 1, std::vector<std::size_t>{0}, Fingerprint{}, counts);
    scrub = std::make_unique<Scrub>(*arena, *owner, options, counts);
    for (std::size_t i = 0; i < slots; ++i) {
      Slot const slot = arena->take(0);
      if (i % every != 0) continue;
      arena->book(slot, options.layout.bytes(), false);
      seal(arena->header(slot), arena->payload(slot), options.layout);
      pages.push_back(slot);
    }
  }
  std::uint64_t checked_in_a_step() {
    std::uint64_t const before = counts.scrubbed;
    EXPECT_TRUE(scrub->step().empty());
    EXPECT_EQ(counts.checked, counts.scrubbed);
    return counts.scrubbed - before;
  }

  test::FakeTransport transport;
  StoreOptions options;
  Counts counts;
  std::unique_ptr<Arena> arena;
  std::unique_ptr<Owner> owner;
  std::unique_ptr<Scrub> scrub;
  std::vector<Slot> pages;
};

TEST(Scrub, AStepVerifiesAsManyPagesAsItsBytesPayFor) {
  auto const steps = [](std::size_t budget, std::size_t page_count) {
    Walk walk{page_count, 1, budget};
    std::array<std::uint64_t, 4> checked;
    for (auto& pages : checked) pages = walk.checked_in_a_step();
    return checked;
  };
  using Steps = std::array<std::uint64_t, 4>;
  EXPECT_EQ(steps(3 * 1024, 100), (Steps{3, 3, 3, 3}));
  EXPECT_EQ(steps(2560, 100), (Steps{2, 3, 2, 3}));
  EXPECT_EQ(steps(512, 100), (Steps{0, 1, 0, 1}));
  EXPECT_EQ(steps(64 << 10, 5), (Steps{5, 5, 5, 5}));   // never a page twice in a step
  EXPECT_EQ(steps(0, 5), (Steps{0, 0, 0, 0}));
  EXPECT_EQ(steps(1024, 0), (Steps{0, 0, 0, 0}));
}

TEST(Scrub, FindsRotAnywhereWithinARound) {
  for (auto const& [slots, every, budget] : {std::array<std::size_t, 3>{40, 1, 3 * 1024}, {40, 3, 700}, {9000, 1000, 1024}, {9000, 7, 100 << 10}}) {
    Walk walk{slots, every, budget};
    std::size_t const bound = ((walk.pages.size() + 1) * 1024 + budget - 1) / budget + slots / Scrub::most_looks + 1;
    for (std::size_t i = 0; i < walk.pages.size(); i += 1 + walk.pages.size() / 50) {
      Slot const slot = walk.pages[i];
      walk.arena->payload(slot)[i % 1024] ^= std::byte{32};
      std::size_t steps = 1;
      std::span<Slot const> found = walk.scrub->step();
      for (; found.empty() && steps < bound; ++steps) found = walk.scrub->step();
      ASSERT_EQ(found.size(), 1u) << "page " << i << " of " << walk.pages.size() << " not found in " << bound << " steps";
      ASSERT_EQ(found[0], slot);
      walk.arena->payload(slot)[i % 1024] ^= std::byte{32};
    }
  }
}

TEST(Scrub, FindsEveryBitOfAPageButTheStateWord) {
  Walk walk{1, 1, 1024};
  PageHeader& header = walk.arena->header(walk.pages[0]);
  std::span<std::byte> const record = std::as_writable_bytes(std::span{&header, 1});
  for (std::span<std::byte> const bytes : {record.first(offsetof(PageHeader, state)), walk.arena->payload(walk.pages[0])})
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      bytes[bit / 8] ^= std::byte{1} << (bit % 8);
      ASSERT_EQ(walk.scrub->step().size(), 1u) << "bit " << bit;
      bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    }
}

StoreOptions scrubbing(std::size_t budget) {
  StoreOptions options = small_options();
  options.scrub_bytes_per_step = budget;
  return options;
}
constexpr std::size_t everything = 1 << 20;   // more than all pages of a rank
constexpr std::size_t nothing = 0;

/// Three ranks on which `rot` happens once, after step 12; no stream grows from then to step `rest_until`. Returns what came out and how
/// many pages rotted.
struct Rotted {
  Outcome outcome;
  std::uint64_t pages = 0;
};
Rotted run_with(StoreOptions const& options, std::function<std::size_t(Store&)> const& rot, comm::FaultPlan const& faults = {}, Step rest_until = 0) {
  Rotted result;
  comm::run_inprocess({.ranks = 3}, [&](comm::World& inner) {
    auto const world = comm::make_faulty_world(inner, faults);
    SmallEngine::Plan plan;
    plan.before = [&](Step step) { world->set_step(step); };
    plan.rest = [&](Step step) { return step > 12 && step < rest_until; };
    plan.length = 80;
    plan.between = [&](Step step, Store& store) {
      if (step == 12) result.pages += rot(store);
      for (Slot const slot : indexed_pages(store)) {
        IndexedPage const& page = store.owner().indexed(slot);   // the test leaves first_position alone
        EXPECT_TRUE(page.key.stream == StreamId{} || first_position(page.key.block, options.layout.page_tokens) == page.first_position);
      }
    };
    Store store{*world, options};
    SmallEngine engine{*world, store, plan};
    engine.run();
    result.outcome.worst = std::max(result.outcome.worst, engine.worst);
    result.outcome.rewinds += engine.rewinds;
    add(result.outcome.counts, store.counts());
    EXPECT_EQ(store.memory().resident(), 0u);
    EXPECT_EQ(store.owner().pages(), 0u);
    EXPECT_EQ(store.owner().used(), store.owner().lent());
    EXPECT_EQ(store.arena().free_slots(0) + store.owner().lent(), options.slots);
  });
  EXPECT_GT(result.pages, 0u);
  return result;
}

std::size_t flip_payloads(Store& store, std::vector<Slot> const& slots) {
  std::size_t const sign_of_a_value = store.options().layout.bytes() / 2 + 7;
  for (Slot const slot : slots) store.arena().payload(slot)[sign_of_a_value] ^= std::byte{128};
  return slots.size();
}

TEST(Scrub, RotInAnOwnersPageIsFoundBeforeItIsServedAgainIfAStepCoversAllPages) {
  auto const [outcome, pages] = run_with(scrubbing(everything), [](Store& store) { return flip_payloads(store, indexed_pages(store)); });
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_EQ(outcome.counts.corrupt, pages);
  EXPECT_GT(outcome.counts.stale, 0u);
  EXPECT_GT(outcome.rewinds, 0u);
}

TEST(Scrub, WithoutItRotInAnOwnersPageIsServed) {   // what the tests above and below would not notice if they could not fail
  auto const [outcome, pages] = run_with(scrubbing(nothing), [](Store& store) { return flip_payloads(store, indexed_pages(store)); });
  EXPECT_GT(outcome.worst, close_enough);
  EXPECT_EQ(outcome.counts.corrupt, 0u);
}

TEST(Scrub, ARottenPageLeavesTheIndexWithinARoundAndItsSlotIsUsedAgain) {
  StoreOptions options = scrubbing(8 * small_options().layout.bytes());
  options.slots = 220;
  options.home_slots = 90;
  Step const round = (220 + 1) / 8 + 1 + 1;   // of an arena full of pages
  bool found = false, used_again = false;
  Outcome outcome;
  comm::run_inprocess({.ranks = 3}, [&](comm::World& world) {
    Slot rotten;
    std::uint64_t generation = 0;
    SmallEngine::Plan plan;
    plan.streams = 1;
    plan.length = 300;
    plan.between = [&](Step step, Store& store) {
      if (world.rank() != 1) return;
      if (step == 12) {
        rotten = indexed_pages(store).back();
        generation = store.arena().generation(rotten);
        flip_payloads(store, {rotten});
      }
      bool const gone = step >= 12 && store.arena().generation(rotten) > generation;
      if (step == 12 + round) found = gone;
      used_again = used_again || (gone && store.arena().booked(rotten));
    };
    run_on(world, options, plan, outcome);
  });
  EXPECT_TRUE(found);
  EXPECT_TRUE(used_again);
  EXPECT_EQ(outcome.counts.corrupt, 1u);
  EXPECT_EQ(outcome.counts.stale, 1u);
  EXPECT_EQ(outcome.rewinds, 1u);
}

std::size_t flip_headers(Store& store, std::vector<Slot> const& slots) {
  std::size_t const places[] = {offsetof(PageHeader, key) + offsetof(PageKey, stream),
                                offsetof(PageHeader, key) + offsetof(PageKey, block),
                                offsetof(PageHeader, generation),
                                offsetof(PageHeader, tokens),
                                offsetof(PageHeader, first_position),
                                offsetof(PageHeader, checksum),
                                offsetof(PageHeader, header_check),
                                offsetof(PageHeader, state)};
  std::size_t i = 0;
  for (Slot const slot : slots) std::as_writable_bytes(std::span{&store.arena().header(slot), 1})[places[i++ % std::size(places)]] ^= std::byte{64};
  return slots.size();
}

TEST(Scrub, ARottenHeaderIsRotTooAndChangesNothingThatIsServed) {
  auto const rot = [](Store& store) { return flip_headers(store, indexed_pages(store)); };
  auto const [found, pages] = run_with(scrubbing(everything), rot);
  EXPECT_LT(found.worst, close_enough);
  EXPECT_EQ(found.counts.corrupt, pages);
  auto const [unseen, same] = run_with(scrubbing(nothing), rot);
  EXPECT_LT(unseen.worst, close_enough);
  EXPECT_EQ(unseen.rewinds, 0u);
}

TEST(Scrub, RotInAHomesOwnPageRewindsItsStream) {
  for (bool const local : {false, true}) {
    StoreOptions options = scrubbing(everything);
    options.local = local;
    auto const [outcome, pages] = run_with(options, [](Store& store) { return flip_payloads(store, own_pages(store)); });
    EXPECT_LT(outcome.worst, close_enough);
    EXPECT_LE(outcome.counts.corrupt, pages);   // of what was pushed, the sound page may be acknowledged before the scrub comes
    EXPECT_GE(outcome.counts.corrupt, local ? pages : pages / 2);
    EXPECT_GT(outcome.rewinds, 0u);
  }
}

// A push is lost, and the page rots at home before it is repeated. Headers rot here: the home attends its own copies all the same.
TEST(Scrub, APageThatRotsBeforeItIsPushedIsNeverIndexedAndDoesNotEndTheJob) {
  auto const rot = [](Store& store) {
    std::vector<Slot> pushed;
    for (Slot const slot : own_pages(store))
      if (store.arena().header(slot).push > 0) pushed.push_back(slot);
    for (Slot const slot : pushed) store.arena().header(slot).key.block ^= 1;
    return pushed.size();
  };
  for (Step const rest_until : {0, 30}) {   // the stream is computed again before its empty page is acknowledged, or after
    auto const [outcome, pages] = run_with(scrubbing(nothing), rot, {.drop = 1, .on_get = false, .first_step = 12, .last_step = 13}, rest_until);
    EXPECT_LT(outcome.worst, close_enough);
    EXPECT_GT(outcome.counts.corrupt, 0u);
    EXPECT_GT(outcome.rewinds, 0u);
  }
}

TEST(Scrub, ARottenCopyIsFetchedAgain) {
  StoreOptions options = scrubbing(everything);
  options.move = Move::page;
  options.replica_slots = 60;
  auto const [outcome, pages] = run_with(options, [](Store& store) {
    std::vector<Slot> copies;   // and what waits for its acknowledgement
    for (Slot const slot : own_pages(store))
      if (store.arena().header(slot).push > 0) copies.push_back(slot);
    return flip_payloads(store, copies);
  });
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_GT(outcome.counts.corrupt, pages / 2);
  EXPECT_LT(outcome.rewinds, 6u);   // of 6 streams: a copy needs none
}

}   // namespace
}   // namespace pikv::shards::testing
