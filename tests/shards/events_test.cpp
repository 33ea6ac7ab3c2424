// What is written down of pages, against the counters that count the same where it happens, and against the life a page must have.
#include "shards/events.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

#include "comm/faults.hpp"
#include "shards/read_sample.hpp"
#include "tests/shards/allocations.hpp"
#include "tests/shards/store_runs.hpp"

namespace pikv::shards::testing {
namespace {

struct Told {   // by one rank
  std::vector<PageEventRow> rows;
  std::uint64_t dropped = 0;
  Counts counts;
};

std::vector<Told> told_by(int ranks, StoreOptions const& options, SmallEngine::Plan const& plan, comm::FaultPlan const& faults = {}) {
  std::vector<Told> all(static_cast<std::size_t>(ranks));
  comm::run_inprocess({.ranks = ranks}, [&](comm::World& inner) {
    auto const world = comm::make_faulty_world(inner, faults);
    Store store{*world, options};
    SmallEngine{*world, store, plan}.run();
    auto const rows = store.events().rows();
    all[static_cast<std::size_t>(inner.rank())] = {{rows.begin(), rows.end()}, store.events().dropped(), store.counts()};
  });
  return all;
}

bool is(PageEventRow const& row, PageEvent event) { return row.event == static_cast<std::int32_t>(event); }
std::uint64_t times(Told const& told, PageEvent event) {
  return static_cast<std::uint64_t>(std::ranges::count_if(told.rows, [&](PageEventRow const& row) { return is(row, event); }));
}

StoreOptions telling_options(Move move = Move::query) {
  StoreOptions options = small_options();
  options.most_events = 100'000;
  options.move = move;
  options.replica_slots = move == Move::query ? 0 : 12;
  return options;
}

/// Evicts what is indexed in step 12, and inverts a bit of every page of its own in step 20.
SmallEngine::Plan with_damage() {
  SmallEngine::Plan plan;
  plan.length = 80;
  plan.between = [](Step step, Store& store) {
    if (step == 12)
      for (Slot const slot : indexed_pages(store)) store.owner().evict(slot, step);
    if (step == 20)
      for (Slot const slot : own_pages(store)) store.arena().payload(slot)[5] ^= std::byte{1};
  };
  return plan;
}

void expect_as_counted(Told const& told) {
  Counts const& counts = told.counts;
  EXPECT_EQ(told.dropped, 0u);
  for (auto const& [event, count] : std::initializer_list<std::pair<PageEvent, std::uint64_t>>{{PageEvent::seal, counts.pages_sealed},
                                                                                               {PageEvent::push, counts.pages_pushed},
                                                                                               {PageEvent::index, counts.pages_remote},
                                                                                               {PageEvent::acknowledge, counts.pages_acknowledged},
                                                                                               {PageEvent::fetch, counts.pages_fetched},
                                                                                               {PageEvent::miss, counts.lost},
                                                                                               {PageEvent::stale, counts.stale},
                                                                                               {PageEvent::corrupt, counts.corrupt},
                                                                                               {PageEvent::rewind, counts.rewinds}})
    EXPECT_EQ(times(told, event), count) << to_string(event);
}

TEST(PageEvents, AreAsManyAsAreCountedWhateverHappens) {
  comm::FaultPlan const faults{.flip = 0.02, .on_message = false};
  for (int const ranks : {1, 2, 3})
    for (Move const move : {Move::query, Move::page}) {
      Counts sum;
      for (Told const& told : told_by(ranks, telling_options(move), with_damage(), faults)) {
        expect_as_counted(told);
        add(sum, told.counts);
      }
      EXPECT_GT(sum.corrupt, 0u);
      EXPECT_GT(sum.rewinds, 0u);
      EXPECT_EQ(sum.stale > 0 && sum.pages_pushed > sum.pages_acknowledged, ranks > 1);
      EXPECT_EQ(sum.pages_fetched > 0, ranks > 1 && move == Move::page);
    }
}

TEST(PageEvents, TellTheLifeOfAPage) {
  std::map<std::tuple<std::uint64_t, std::int32_t, std::int32_t>, std::vector<PageEventRow>> lives;
  for (Told const& told : told_by(3, telling_options(), {}))
    for (PageEventRow const& row : told.rows)
      if (row.layer != every_layer && !is(row, PageEvent::hit)) lives[{row.stream_hi, row.layer, row.block}].push_back(row);
  std::size_t away = 0;
  for (auto& [page, life] : lives) {
    std::ranges::stable_sort(life, {}, &PageEventRow::step);
    auto const home = static_cast<std::int32_t>(std::get<0>(page) / 100);
    ASSERT_TRUE(is(life[0], PageEvent::seal));
    EXPECT_EQ(life[0].rank, home);
    if (life.size() < 3) continue;   // it stays at its home
    ++away;
    auto const& [seal, place, push, index, acknowledge] = std::tie(life[0], life[1], life[2], life[3], life[4]);
    std::int32_t const owner = place.peer;
    EXPECT_NE(owner, home);
    EXPECT_EQ(push.peer, owner);
    EXPECT_EQ(std::tie(index.rank, index.peer, index.slot, index.generation), std::tie(owner, home, push.slot, push.generation));
    EXPECT_EQ(std::tie(acknowledge.rank, acknowledge.peer, acknowledge.slot), std::tie(home, owner, push.slot));
    EXPECT_EQ(seal.bytes, push.bytes);
    EXPECT_EQ(index.step, push.step + 1);
    EXPECT_EQ(acknowledge.step, push.step + 2);
  }
  EXPECT_GT(away, 50u);
}

TEST(PageEvents, EndWithTheReleaseOfTheirStream) {
  for (Told const& told : told_by(2, telling_options(), {})) {
    ASSERT_EQ(times(told, PageEvent::release), 2u);   // streams of a rank
    for (auto release = told.rows.begin(); release != told.rows.end(); ++release) {
      if (!is(*release, PageEvent::release)) continue;
      EXPECT_EQ(std::tie(release->layer, release->block), std::make_tuple(every_layer, 0));
      auto const sealed_later = [&](auto const& row) { return row.stream_lo == release->stream_lo && is(row, PageEvent::seal); };
      EXPECT_TRUE(std::none_of(release, told.rows.end(), sealed_later));
    }
  }
}

TEST(PageEvents, SampleTheReadsThatFoundTheirPage) {
  for (Told const& told : told_by(3, telling_options(), {.length = 200})) {
    ASSERT_GT(told.counts.page_reads, 5000u);
    EXPECT_EQ(times(told, PageEvent::hit), told.counts.page_reads / ReadSample::least_gap);
    for (PageEventRow const& row : told.rows)
      EXPECT_TRUE(!is(row, PageEvent::hit) || (row.peer >= 0 && row.peer < 3 && row.slot >= 0));
  }
}

TEST(PageEvents, AreTheSameInTheSameRun) {
  auto const once = told_by(3, telling_options(Move::page), with_damage()), again = told_by(3, telling_options(Move::page), with_damage());
  for (std::size_t rank = 0; rank < once.size(); ++rank) {
    ASSERT_EQ(once[rank].rows.size(), again[rank].rows.size());
    EXPECT_EQ(std::memcmp(once[rank].rows.data(), again[rank].rows.data(), once[rank].rows.size() * sizeof(PageEventRow)), 0);
  }
}

TEST(PageEvents, BeyondTheirRoomAreCountedAndTheFirstStay) {
  StoreOptions options = telling_options();
  auto const all = told_by(2, options, {});
  options.most_events = 10;
  auto const few = told_by(2, options, {});
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    ASSERT_EQ(few[rank].rows.size(), 10u);
    EXPECT_EQ(few[rank].dropped, all[rank].rows.size() - 10);
    EXPECT_EQ(std::memcmp(few[rank].rows.data(), all[rank].rows.data(), 10 * sizeof(PageEventRow)), 0);
  }
}

TEST(PageEvents, AreNoneWhereNobodyAskedForThem) {
  for (Told const& told : told_by(2, small_options(), {})) EXPECT_EQ(told.rows.size() + told.dropped, 0u);
}

TEST(PageEvents, AllocateNothingOnceStarted) {
  PageEvents events;
  events.start(0, 100);
  std::size_t const before = pikv::test::allocations();
  for (Block block = 0; block < 150; ++block) events.record(PageEvent::seal, StreamId{}, 0, block);
  EXPECT_EQ(pikv::test::allocations(), before);
  EXPECT_EQ(events.rows().size(), 100u);
  events.clear();
  events.record(PageEvent::seal, StreamId{}, 0, 0);
  EXPECT_EQ(pikv::test::allocations(), before);
  EXPECT_EQ(events.dropped(), 50u);
}

TEST(ReadSample, TakesAnEighthOfAStepsReadsAtTheMost) {
  ReadSample sample;
  for (int step = 0; step < 5; ++step) {
    sample.begin_step();
    int taken = 0;
    for (int part = 0; part < 10; ++part) sample.reads(100'000, [&](std::int64_t read) { taken += read >= 0 && read < 100'000 ? 1 : 1000; });
    EXPECT_TRUE(step == 0 || (taken >= 7 && taken <= 9)) << taken << " in step " << step;
  }
}

}  // namespace
}  // namespace pikv::shards::testing
