// Pages and attention on a device (device_under_test.hpp). Outputs are compared with attention in double precision over the
// true keys and values, as in store_test.cpp, and those of coded pages with what the host makes of the same.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <random>

#include "comm/faults.hpp"
#include "shards/page_codecs.hpp"
#include "tests/device_under_test.hpp"
#include "tests/shards/store_runs.hpp"

namespace pikv::shards::testing {
namespace {

using kernels::Element;

constexpr double close_enough = 2e-6;

/// Pages of which the device takes the checksums itself.
StoreOptions device_options() {
  StoreOptions options = small_options();
  options.layout = {kernels::DType::f32, 2, 8, 16};
  options.fingerprint = page_fingerprint({1, 2}, options.layout);
  options.slots = 60;
  options.home_slots = 30;
  return options;
}

using Outputs = std::map<std::array<std::int64_t, 4>, std::vector<float>>;   // by stream, position, layer, head

Outcome run_keeping(int ranks, StoreOptions const& options, SmallEngine::Plan plan, bool on_device, Outputs* outputs = nullptr) {
  Outcome outcome;
  if (outputs != nullptr)
    plan.output = [&](std::uint64_t id, std::int64_t position, std::int32_t layer, std::int32_t head, std::span<float const> row) {
      (*outputs)[{static_cast<std::int64_t>(id), position, layer, head}].assign(row.begin(), row.end());
    };
  comm::run_inprocess({.ranks = ranks, .device = on_device ? &test::device_memory() : nullptr}, [&](comm::World& world) {
    auto const device = on_device ? kernels::cuda::make_device() : nullptr;
    StoreOptions here = options;
    here.device = device.get();
    run_on(world, here, plan, outcome);
  });
  return outcome;
}

Outcome run_on_device(int ranks, StoreOptions const& options, SmallEngine::Plan const& plan) { return run_keeping(ranks, options, plan, true); }

void flip_a_byte(Store& store, Slot slot, std::size_t at) {
  std::vector<std::byte> payload(store.arena().payload(slot).size());
  store.arena().copy_out(slot, payload);
  payload[at] ^= std::byte{4};
  store.arena().device().copy_in(store.arena().payload(slot).data(), payload);
  store.arena().device().wait();   // a transport may read it next
}

TEST(OnDevice, ARankAttendsItsOwnPages) {
  Outcome const outcome = run_on_device(1, device_options(), SmallEngine::Plan{});
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_GT(outcome.outputs, 0u);
  EXPECT_GT(outcome.counts.pages_sealed, 0u);
  EXPECT_EQ(outcome.rewinds, 0u);
}

TEST(OnDevice, PagesTooSmallForItsChecksumsAreHashedOnTheHost) {
  StoreOptions options = small_options();
  options.slots = 120;
  options.home_slots = 60;
  Outcome const outcome = run_on_device(2, options, SmallEngine::Plan{});
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_GT(outcome.counts.pages_remote, 0u);
}

TEST(OnDevice, QueriesGoToPagesOfOtherRanks) {
  Outcome const outcome = run_on_device(2, device_options(), SmallEngine::Plan{});
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_GT(outcome.counts.pages_remote, 0u);
  EXPECT_GT(outcome.counts.page_reads, outcome.counts.local_reads);
  EXPECT_EQ(outcome.rewinds, 0u);
}

StoreOptions fetching_options() {
  StoreOptions options = device_options();
  options.move = Move::page;
  options.replica_slots = 12;
  return options;
}

TEST(OnDevice, PagesOfOtherRanksAreFetched) {
  Outcome const outcome = run_on_device(2, fetching_options(), SmallEngine::Plan{});
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_GT(outcome.counts.pages_fetched, 0u);
  EXPECT_EQ(outcome.rewinds, 0u);
}

TEST(OnDevice, AByteThatRotsInAnOwnersMemoryIsNeverFetchedAsAPage) {
  StoreOptions options = fetching_options();
  options.replica_slots = 2;           // so that pages are fetched again and again
  options.scrub_bytes_per_step = 0;    // so that the fetch must find it
  SmallEngine::Plan plan;
  plan.between = [](Step step, Store& store) {
    if (step != 8) return;
    for (Slot const slot : indexed_pages(store)) flip_a_byte(store, slot, 17);
  };
  Outcome const outcome = run_on_device(2, options, plan);
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_GT(outcome.counts.corrupt, 0u);
  EXPECT_GT(outcome.rewinds, 0u);
}

TEST(OnDevice, TheScrubFindsAByteThatRotsInAnOwnersMemoryAndAtHome) {
  StoreOptions options = device_options();
  options.scrub_bytes_per_step = 1 << 20;   // everything
  SmallEngine::Plan plan;
  plan.between = [](Step step, Store& store) {
    if (step != 8) return;
    for (auto const& slots : {indexed_pages(store), own_pages(store)})
      if (!slots.empty()) flip_a_byte(store, slots.front(), 1000);
  };
  Outcome const outcome = run_on_device(2, options, plan);
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_GE(outcome.counts.corrupt, 3u);
  EXPECT_GT(outcome.rewinds, 0u);
}

TEST(OnDevice, APageThatArrivesDamagedIsPushedAgain) {
  Outcome outcome;
  comm::FaultPlan plan{.flip = 0.2};
  plan.on_get = plan.on_message = false;
  comm::run_inprocess({.ranks = 2, .device = &test::device_memory()}, [&](comm::World& inner) {
    auto const world = comm::make_faulty_world(inner, plan);
    auto const device = kernels::cuda::make_device();
    StoreOptions options = device_options();
    options.device = device.get();
    run_on(*world, options, {.before = [&](Step step) { world->set_step(step); }}, outcome);
  });
  EXPECT_LT(outcome.worst, close_enough);
  EXPECT_GT(outcome.counts.corrupt, 0u);
  EXPECT_GT(outcome.counts.pages_remote, 0u);
}

TEST(OnDevice, PagesGoToSlowerTiersAndComeBack) {
  StoreOptions options = device_options();
  options.local = options.tiers = true;
  options.replica_slots = 3;
  options.tier_host_bytes = 8 * slot_cost(options.layout);   // the rest to the file
  comm::run_inprocess({.ranks = 1, .device = &test::device_memory()}, [&](comm::World& world) {
    auto const device = kernels::cuda::make_device();
    options.device = device.get();
    Store store{world, options};
    SmallEngine engine{world, store, {}};
    std::mt19937 random{7};
    engine.plan.between = [&](Step, Store&) {
      for (auto const& [id, stream] : engine.running)
        for (Block block = 0; block < stream->directory().blocks(); ++block)
          if (auto const life = stream->directory().at(0, block).life; life == PageLife::sealed || life == PageLife::demoted)
            (void)store.move(*stream, 0, block, static_cast<TierKind>(random() % 3));
    };
    engine.run();
    EXPECT_LT(engine.worst, close_enough);
    EXPECT_GT(store.counts().tier_reads, 10u);
    EXPECT_GT(store.counts().pages_promoted, 5u);
    EXPECT_EQ(store.counts().corrupt + engine.rewinds, 0u);
  });
}

StoreOptions with_codecs(StoreOptions options) {
  options.coded_slots.assign(static_cast<std::size_t>(options.codecs->classes()), {60, 30, 0});
  options.fingerprint = page_fingerprint({1, 2}, options.layout, options.codecs.get());
  return options;
}

StoreOptions coded_options(Element warm, std::optional<Element> cold = {}) {
  StoreOptions options = device_options();
  auto const tables = [&](Element element) {
    return std::vector<TableCodec>(static_cast<std::size_t>(options.layers), {"as it is", {element, {}, 0, {}}, {element, {}, 0, {}}});
  };
  options.codecs = std::make_shared<PageCodecs>(options.layout, tables(warm), cold ? tables(*cold) : std::vector<TableCodec>{});
  if (cold) options.cold_after = 16;
  return with_codecs(std::move(options));
}

void expect_as_on_host(StoreOptions const& options) {
  Outputs host, device;
  SmallEngine::Plan plan;
  plan.streams = 1;
  Outcome const right = run_keeping(2, options, plan, false, &host), outcome = run_keeping(2, options, plan, true, &device);
  EXPECT_EQ(outcome.counts.page_reads, right.counts.page_reads);
  EXPECT_EQ(outcome.counts.pages_recoded, right.counts.pages_recoded);
  EXPECT_GT(outcome.counts.pages_remote, 0u);
  EXPECT_EQ(outcome.rewinds, 0u);
  ASSERT_EQ(device.size(), host.size());
  double worst = 0;
  for (auto const& [name, row] : host)
    for (std::size_t c = 0; c < row.size(); ++c) worst = std::max(worst, std::abs(double{row[c]} - device.at(name)[c]));
  EXPECT_LT(worst, 1e-5);
  EXPECT_GT(right.worst, 1e-4);   // of the codec
}

TEST(OnDevice, Int8PagesGiveWhatTheHostGives) { expect_as_on_host(coded_options(Element::int8)); }
TEST(OnDevice, Int4PagesGiveWhatTheHostGives) { expect_as_on_host(coded_options(Element::int4)); }
TEST(OnDevice, PagesWithABasisOfTheirOwnGiveWhatTheHostGives) {
  StoreOptions options = device_options();
  options.codecs = std::make_shared<PageCodecs>(options.layout, std::vector<TableCodec>(2, {"four components", {Element::int8, {}, 4, {}}, {Element::int8, {}, 4, {}}}));
  expect_as_on_host(with_codecs(std::move(options)));
}
TEST(OnDevice, PagesThatCoolGiveWhatTheHostGives) { expect_as_on_host(coded_options(Element::int8, Element::int4)); }

}  // namespace
}  // namespace pikv::shards::testing
