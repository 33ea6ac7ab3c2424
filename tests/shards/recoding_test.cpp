// Pages that cool: made cold where they lie, at the age that is said, on any number of ranks, while streams end and are rewound, pages move and transfers
// suffer faults. Outputs are compared with attention over the true keys and values, as far apart as the codecs may be.
#include "shards/recoding.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "comm/faults.hpp"
#include "shards/page_codecs.hpp"
#include "tests/shards/store_runs.hpp"
#include "tests/small_form.hpp"

namespace pikv::shards::testing {
namespace {

using kernels::Element;
using test::small_form;

constexpr double close_enough = .02;   // with keys and values between -1 and 1: int8's steps are 2 / 255

TableCodec codec(std::string name, Element k, Element v) { return {std::move(name), {k, {}, 0, {}}, {v, {}, 0, {}}}; }

StoreOptions cooling_options(TableCodec const& warm = codec("bf16", Element::bf16, Element::bf16), TableCodec const& cold = codec("int8", Element::int8, Element::int8)) {
  StoreOptions options = small_options();
  options.layout = {kernels::DType::f32, 2, 8, 8};
  auto const tables = static_cast<std::size_t>(options.layers);
  options.codecs = std::make_shared<PageCodecs>(options.layout, std::vector<TableCodec>(tables, warm), std::vector<TableCodec>(tables, cold));
  options.fingerprint = page_fingerprint({1, 2}, options.layout, options.codecs.get());
  options.coded_slots = {{400, 150, 0}, {400, 150, 0}};
  options.most_rows = 64;
  options.cold_after = 40;
  return options;
}

SmallEngine::Plan long_streams() {
  SmallEngine::Plan plan;
  plan.length = 200;
  plan.rows = 3;
  return plan;
}

/// After each step of a rank, with its streams.
using Look = std::function<void(Step, SmallEngine&)>;

void run_watched(comm::World& world, StoreOptions const& options, SmallEngine::Plan const& plan, Outcome& outcome, Look const& look) {
  Store store{world, options};
  SmallEngine engine{world, store, plan};
  auto const also = plan.between;
  engine.plan.between = [&](Step step, Store& on) {
    also(step, on);
    look(step, engine);
  };
  engine.run();
  outcome.worst = std::max(outcome.worst, engine.worst);
  outcome.rewinds += engine.rewinds;
  add(outcome.counts, store.counts());
}

Outcome run_watched(int ranks, StoreOptions const& options, SmallEngine::Plan const& plan, Look const& look, std::uint64_t seed = 1) {
  Outcome outcome;
  comm::run_inprocess({.ranks = ranks, .seed = seed}, [&](comm::World& world) { run_watched(world, options, plan, outcome, look); });
  return outcome;
}

bool is_cold(Store const& store, DirectoryEntry const& entry) {
  return store.options().codecs->level_of(store.arena().size_class(entry.local.valid() ? entry.local : entry.slot)) == Level::cold;
}

bool old_enough(StoreOptions const& options, std::int64_t length, Block block) {
  return block > 0 && first_position(block + 1, options.layout.page_tokens) + options.cold_after <= length;
}

/// Booked slots of coded pages, by level.
std::array<std::size_t, levels> pages_by_level(Store& store) {
  std::array<std::size_t, levels> pages{};
  Arena const& arena = store.arena();
  for (std::int32_t i = 0; i < arena.end(); ++i)
    if (Slot const slot{i}; arena.is_slot(slot) && arena.booked(slot) && arena.size_class(slot) > 0)
      ++pages[static_cast<std::size_t>(store.options().codecs->level_of(arena.size_class(slot)))];
  return pages;
}

// What a step reads is what its stream's length at the step's beginning says, wherever the page lies, so results do not depend on the number of ranks.
TEST(Recoding, APageIsColdFromItsAgeOnToTheStepWhereverItLies) {
  for (int const ranks : {1, 2, 3, 5})
    for (std::int32_t const rows : {1, 3, 24})
      for (Move const move : {Move::query, Move::page}) {
        if (rows == 1 && small_form()) continue;
        StoreOptions options = cooling_options();
        if (ranks == 3) {   // the second table is uncompressed while it is warm
          options.codecs = std::make_shared<PageCodecs>(options.layout, std::vector{codec("bf16", Element::bf16, Element::bf16), codec("none", Element::f32, Element::f32)},
                                                        std::vector<TableCodec>(2, codec("int8", Element::int8, Element::int8)));
          options.replica_slots = 40;
        }
        options.local = ranks == 2 && move == Move::page;
        options.move = move;
        for (CodedSlots& slots : options.coded_slots) slots.replica_slots = 40;
        auto plan = long_streams();
        plan.rows = rows;
        std::map<std::uint64_t, std::int64_t> length;   // at the beginning of the step
        std::size_t cold = 0;
        Outcome const outcome = run_watched(ranks, options, plan, [&](Step step, SmallEngine& engine) {
          for (auto const& running : engine.running) {
            Directory const& pages = running.stream->directory();
            for (Block block = 0; block < running.stream->sealed(); ++block)
              for (std::int32_t table = 0; table < options.layers; ++table) {
                bool const expected = old_enough(options, length[running.id], block);
                ASSERT_EQ(is_cold(engine.store, pages.at(table, block)), expected)
                    << ranks << " ranks, " << rows << " rows, step " << step << ", stream " << running.id << ", block " << block << " of " << length[running.id];
                cold += expected ? 1 : 0;
              }
            length[running.id] = running.stream->length();
          }
        });
        EXPECT_LT(outcome.worst, close_enough);
        EXPECT_EQ(outcome.rewinds, 0u);
        EXPECT_EQ(outcome.counts.stale + outcome.counts.corrupt, 0u);
        EXPECT_GT(cold, 100u);
        auto const last = (plan.length - 1) / rows * rows;   // the length at the beginning of the last step
        auto const blocks = (last - options.cold_after) / options.layout.page_tokens - 1;
        EXPECT_EQ(outcome.counts.pages_recoded, static_cast<std::uint64_t>(ranks * plan.streams * options.layers * blocks)) << "each once";
      }
}

TEST(Recoding, WarmSlotsAreFreeAgainAndOnlyTheColdBytesAreHeld) {
  for (int const ranks : {1, 3}) {
    StoreOptions const options = cooling_options();
    auto plan = long_streams();
    plan.rest = [](Step step) { return step > 40 && step < 50; };
    std::array<std::size_t, levels> held{}, named{};
    Outcome const outcome = run_watched(ranks, options, plan, [&](Step step, SmallEngine& engine) {
      if (step != 49) return;
      auto const here = pages_by_level(engine.store);
      std::size_t payload = 0;
      for (std::size_t level = 0; level < levels; ++level) {
        held[level] += here[level];
        payload += here[level] * options.codecs->class_bytes(static_cast<std::int32_t>(level) + 1);
      }
      std::size_t uncompressed = 0;
      Arena const& arena = engine.store.arena();
      for (std::int32_t i = 0; i < arena.end(); ++i)
        if (Slot const slot{i}; arena.is_slot(slot) && arena.size_class(slot) == 0 && arena.booked(slot)) ++uncompressed;
      EXPECT_EQ(arena.account().bytes(Memory::payload), payload + uncompressed * options.layout.bytes());
      for (auto const& running : engine.running)
        for (Block block = 1; block < running.stream->sealed(); ++block) named[old_enough(options, running.stream->length(), block) ? 1 : 0] += 2;
    });
    EXPECT_LT(outcome.worst, close_enough);
    EXPECT_GT(named[0], 0u);
    EXPECT_GT(named[1], 0u);
    EXPECT_EQ(held, named) << ranks << " ranks";
  }
}

// Keys are coded twice as int8: the second time little is lost, so a bound that forgot the first would be too small.
TEST(Recoding, WhatAColdPageSaysOfItsErrorsBoundsTheDistanceToWhatWasSealed) {
  std::size_t looked = 0;
  double tightest = 0;
  StoreOptions const options = cooling_options(codec("int8", Element::int8, Element::int8), codec("int8/int4", Element::int8, Element::int4));
  kernels::PageLayout const& layout = options.layout;
  std::vector<std::byte> numbers(layout.bytes());
  kernels::PoolView const view{numbers.data(), numbers.size(), layout};
  for (int const ranks : {1, 3})
    run_watched(ranks, options, long_streams(), [&](Step step, SmallEngine& engine) {
      if (step != 60) return;
      Arena& arena = engine.store.arena();
      for (std::int32_t i = 0; i < arena.end(); ++i) {
        Slot const slot{i};
        if (!arena.is_slot(slot) || !arena.booked(slot) || options.codecs->level_of(arena.size_class(slot)) != Level::cold) continue;
        PageHeader const& header = arena.header(slot);
        kernels::CodedLayout const coded = options.codecs->layout(header.key.layer, Level::cold);
        EXPECT_EQ(header.codec, options.codecs->id(header.key.layer, Level::cold));
        EXPECT_EQ(header.payload_bytes, coded.bytes);
        kernels::host::decode_page(coded, arena.payload(slot).data(), view, 0);
        auto const errors = kernels::coded_errors(coded, arena.payload(slot).data());
        for (char const what : {'k', 'v'})
          for (std::int32_t head = 0; head < layout.kv_heads; ++head)
            for (std::int32_t t = 0; t < layout.page_tokens; ++t) {
              auto const* const half = reinterpret_cast<float const*>(what == 'k' ? view.keys(0) : view.values(0));
              float const* const stored = half + (head * layout.page_tokens + t) * layout.head_dim;
              double square = 0;
              for (std::int32_t c = 0; c < layout.head_dim; ++c)
                square += std::pow(stored[c] - number(header.key.stream.hi, header.first_position + t, header.key.layer, head, c, what), 2);
              double const bound = (what == 'k' ? errors.k : errors.v)[static_cast<std::size_t>(head)];
              ASSERT_LE(std::sqrt(square), bound);
              tightest = std::max(tightest, std::sqrt(square) / bound);
              ++looked;
            }
      }
    });
  EXPECT_GT(looked, 1000u);
  EXPECT_GT(tightest, .5);
}

// Rot of a warm page elsewhere, just before it is told to be cold: found there, never made into a page that looks sound.
TEST(Recoding, ARottenPageIsNeverRecoded) {
  StoreOptions options = cooling_options();
  options.scrub_bytes_per_step = 0;
  auto plan = long_streams();
  plan.rows = 8;   // a block
  std::size_t rotten = 0;
  plan.between = [&](Step step, Store& store) {
    if (step != 10 || store.self() == 0) return;
    for (std::int32_t i = 0; i < store.arena().end(); ++i) {
      Slot const slot{i};
      IndexedPage const& page = store.owner().indexed(slot);
      if (page.home < 0 || !old_enough(options, 96, page.key.block) || old_enough(options, 88, page.key.block)) continue;
      store.arena().payload(slot)[70] ^= std::byte{1};
      ++rotten;
    }
  };
  Outcome const outcome = run(3, options, plan);
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_GT(rotten, 0u);
  EXPECT_EQ(outcome.counts.corrupt, rotten);
  EXPECT_GT(outcome.rewinds, 0u);
}

// The same of a page at home.
TEST(Recoding, ARottenPageAtHomeIsNeverRecoded) {
  StoreOptions options = cooling_options();
  options.scrub_bytes_per_step = 0;
  options.local = true;
  auto plan = long_streams();
  plan.rows = 8;
  std::size_t rotten = 0;
  plan.between = [&](Step step, Store& store) {
    Arena& arena = store.arena();
    for (std::int32_t i = 0; i < arena.end() && step == 10; ++i) {
      Slot const slot{i};
      if (!arena.is_slot(slot) || !arena.booked(slot) || arena.size_class(slot) != 1 || arena.header(slot).key.block != 5) continue;   // cold from 88 tokens on
      arena.payload(slot)[70] ^= std::byte{1};
      ++rotten;
    }
  };
  Outcome const outcome = run(1, options, plan);
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_EQ(rotten, 4u);   // two streams, two layers
  EXPECT_EQ(outcome.counts.corrupt, rotten);
  EXPECT_EQ(outcome.rewinds, 2u);
}

// The cold page rots before its home has heard of it.
TEST(Recoding, AColdPageThatRotsAtOnceIsFoundAndComputedAgain) {
  StoreOptions options = cooling_options();
  options.scrub_bytes_per_step = 1 << 20;   // all pages, in each step
  std::size_t rotten = 0;
  auto plan = long_streams();
  plan.rows = 8;
  plan.between = [&](Step step, Store& store) {
    if (step != 10) return;
    Arena& arena = store.arena();
    for (std::int32_t i = 0; i < arena.end(); ++i)
      if (Slot const slot{i}; arena.is_slot(slot) && arena.size_class(slot) == 2 && store.owner().indexed(slot).home >= 0 && store.owner().indexed(slot).key.block == 5) {
        arena.payload(slot)[70] ^= std::byte{1};
        ++rotten;
      }
  };
  Outcome const outcome = run(3, options, plan);
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_GT(rotten, 0u);
  EXPECT_GE(outcome.counts.corrupt, rotten);
  EXPECT_GT(outcome.rewinds, 0u);
}

// Streams end and are rewound, placements change and pages are lost at every point of a recoding: seeds see to that. In the end nothing is left anywhere.
TEST(Recoding, StreamsThatEndOrRewindWhileTheirPagesCoolAndMoveLeaveNothingBehind) {
  std::uint64_t recoded = 0, moved = 0, rewinds = 0;
  for (std::uint64_t seed = 1; seed <= (small_form() ? 20 : 30); ++seed) {
    int const ranks = 2 + static_cast<int>(seed % 4);
    StoreOptions options = cooling_options();
    options.cold_after = 8 + static_cast<std::int64_t>(seed % 5) * 8;
    if (seed % 2 == 0) {
      options.move = Move::page;
      for (CodedSlots& slots : options.coded_slots) slots.replica_slots = 8;
    }
    auto plan = long_streams();
    plan.length = 60 + static_cast<std::int64_t>(seed * 3);
    plan.rows = 1 + static_cast<std::int32_t>(seed % 9);
    plan.streams = 3;
    plan.quiet_steps = 20;
    std::vector<std::size_t> left(static_cast<std::size_t>(ranks));
    plan.between = [&](Step step, Store& store) {
      auto const every = static_cast<Step>(5 + seed % 7);
      if (step % every == every - 1 && seed % 3 != 0) {
        std::vector<std::uint64_t> weights(static_cast<std::size_t>(ranks), 1);
        weights[mix(static_cast<std::uint64_t>(step) + seed) % static_cast<std::uint64_t>(ranks)] = 0;
        store.place({.weights = weights, .epoch = static_cast<Epoch>(step)});
      }
      if (step % 7 == 6 && step < 100)
        for (std::int32_t i = 0; i < store.arena().end(); ++i)
          if (Slot const slot{i}; store.owner().indexed(slot).home >= 0 && mix(static_cast<std::uint64_t>(i + step)) % 128 == 0) store.owner().evict(slot, step);
      left[static_cast<std::size_t>(store.self())] = store.owner().used() + store.pages_home();
    };
    Outcome const outcome = run(ranks, options, plan, seed);
    EXPECT_LT(outcome.worst, close_enough) << "seed " << seed;
    for (std::size_t const slots : left) EXPECT_EQ(slots, 0u) << "seed " << seed << ", " << ranks << " ranks";
    recoded += outcome.counts.pages_recoded;
    moved += outcome.counts.pages_moved;
    rewinds += outcome.rewinds;
  }
  fmt::print("{} pages recoded, {} moved, {} rewinds\n", recoded, moved, rewinds);
  EXPECT_GT(recoded, 1000u);
  EXPECT_GT(moved, 100u);
  EXPECT_GT(rewinds, 20u);
}

TEST(Recoding, PagesThatWereOnTheirWayAreColdSoonAfter) {
  StoreOptions const options = cooling_options();
  auto plan = long_streams();
  plan.rest = [](Step step) { return step > 45 && step < 65; };
  plan.between = [](Step step, Store& store) {
    if (step == 38) store.place({.weights = {1, 0, 1}, .epoch = 2});
  };
  std::size_t looked = 0;
  Outcome const outcome = run_watched(3, options, plan, [&](Step step, SmallEngine& engine) {
    if (step != 64) return;
    EXPECT_TRUE(engine.store.settled());
    for (auto const& running : engine.running)
      for (Block block = 1; block < running.stream->sealed(); ++block, ++looked)
        EXPECT_EQ(is_cold(engine.store, running.stream->directory().at(0, block)), old_enough(options, running.stream->length(), block)) << "block " << block;
  });
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_GT(outcome.counts.pages_moved, 10u);
  EXPECT_GT(looked, 50u);
  EXPECT_EQ(outcome.rewinds, 0u);
}

TEST(Recoding, WithoutRoomPagesStayWarmAndNothingIsLost) {
  for (int const ranks : {1, 3}) {
    StoreOptions options = cooling_options();
    options.coded_slots[1] = {12, 4, 0};
    std::size_t warm_and_old = 0;
    Outcome const outcome = run_watched(ranks, options, long_streams(), [&](Step, SmallEngine& engine) {
      for (auto const& running : engine.running)
        for (Block block = 1; block < running.stream->sealed(); ++block)
          warm_and_old += !is_cold(engine.store, running.stream->directory().at(0, block)) && old_enough(options, running.stream->length() - 10, block) ? 1 : 0;
    });
    EXPECT_LT(outcome.worst, close_enough);
    EXPECT_EQ(outcome.rewinds, 0u);
    EXPECT_GT(warm_and_old, 0u) << ranks << " ranks";
    EXPECT_GT(outcome.counts.pages_recoded, 0u);
  }
}

// What a control message has no room for comes in the next ones.
TEST(Recoding, MorePagesThanAMessageHoldsAreOrderedInTurn) {
  StoreOptions options = cooling_options();
  options.layers = 80;
  auto const tables = static_cast<std::size_t>(options.layers);
  options.codecs = std::make_shared<PageCodecs>(options.layout, std::vector<TableCodec>(tables, codec("bf16", Element::bf16, Element::bf16)),
                                                std::vector<TableCodec>(tables, codec("int8", Element::int8, Element::int8)));
  options.slots = options.home_slots = 3000;
  options.coded_slots = {{3000, 1500, 0}, {3000, 1500, 0}};
  options.weights = {0, 1};
  options.cold_after = 64;
  auto plan = long_streams();
  plan.rest = [](Step step) { return step > 0 && step != 15 && step < 25; };   // all are at their owner before the next rows make them cold
  plan.streams = 1;
  plan.rows = 64;
  plan.length = 192;
  std::vector<std::uint64_t> recoded;   // in a step, where any was
  std::uint64_t before = 0;
  Outcome const outcome = run_watched(2, options, plan, [&](Step step, SmallEngine& engine) {
    if (engine.store.self() != 0 || step > 20) return;
    std::uint64_t const now = engine.store.counts().pages_recoded;
    if (now > before) recoded.push_back(now - before);
    before = now;
  });
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_EQ(recoded, (std::vector<std::uint64_t>{Recoding::most_ordered, 7 * tables - Recoding::most_ordered}));   // 8 blocks but the first
}

TEST(Recoding, FaultsOfEveryKindWhilePagesCool) {
  std::uint64_t faults = 0, recoded = 0;
  for (std::uint64_t seed = 1; seed <= (small_form() ? 6 : 16); ++seed) {
    int const ranks = 2 + static_cast<int>(seed % 3);
    comm::FaultPlan const faulty_plan{.seed = seed, .drop = 0.05, .delay = 0.1, .duplicate = 0.1, .reorder = 0.1, .flip = 0.05, .truncate = 0.05, .stall = 0.01};
    StoreOptions options = cooling_options();
    options.cold_after = 16;
    options.move = seed % 2 == 0 ? Move::page : Move::query;
    for (CodedSlots& slots : options.coded_slots) slots.replica_slots = seed % 2 == 0 ? 8 : 0;
    Outcome outcome;
    comm::run_inprocess({.ranks = ranks, .seed = seed}, [&](comm::World& world) {
      auto const faulty = comm::make_faulty_world(world, faulty_plan);
      auto plan = long_streams();
      plan.length = 120;
      plan.before = [&](Step step) { faulty->set_step(step); };
      run_on(*faulty, options, plan, outcome);
      faults += faulty->fault_counts().total();
    });
    EXPECT_LT(outcome.worst, close_enough) << "seed " << seed;
    recoded += outcome.counts.pages_recoded;
  }
  EXPECT_GT(faults, 500u);
  EXPECT_GT(recoded, 500u);
}

}  // namespace
}  // namespace pikv::shards::testing
