// Pages in slower tiers: each place alone, and a store whose pages go and come while its attention is held against double precision.
#include "shards/tier.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>

#include "comm/error.hpp"
#include "tests/shards/store_runs.hpp"

namespace pikv::shards::testing {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t payload_bytes = 5000;

struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "tier_test_XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path); }
  bool empty() const { return fs::is_empty(path); }
  fs::path path;
};

struct Page {
  explicit Page(unsigned seed) : payload(payload_bytes) {
    std::mt19937 random{seed};
    for (std::byte& byte : payload) byte = static_cast<std::byte>(random());
    header.generation = seed;
  }
  PageHeader header;
  std::vector<std::byte> payload;
};

class SlowerTiers : public ::testing::TestWithParam<TierKind> {
 protected:
  std::unique_ptr<Tier> make() const {
    return GetParam() == TierKind::host ? make_host_tier(payload_bytes, 1 << 20) : make_file_tier(payload_bytes, folder.path.string());
  }
  void expect_at(Tier& tier, std::int64_t place, unsigned seed) const {
    Page const sent{seed};
    Page got{0};
    ASSERT_TRUE(tier.get(place, got.header, got.payload));
    EXPECT_EQ(got.header.generation, sent.header.generation);
    EXPECT_EQ(got.payload, sent.payload);
  }
  std::int64_t put(Tier& tier, unsigned seed) const {
    Page const page{seed};
    return tier.put(page.header, page.payload);
  }
  Folder folder;
};

TEST_P(SlowerTiers, APageComesBackAsItWent) {
  auto const tier = make();
  std::vector<std::int64_t> places;
  for (unsigned i = 1; i <= 20; ++i) places.push_back(put(*tier, i));
  for (unsigned i = 20; i >= 1; --i) expect_at(*tier, places[i - 1], i);
  EXPECT_EQ(tier->pages(), 20u);
  EXPECT_EQ(tier->bytes(), 20 * (payload_bytes + header_bytes));
}

TEST_P(SlowerTiers, APlaceIsUsedAgainAndTheOthersKeepTheirPages) {
  auto const tier = make();
  std::vector<std::int64_t> places;
  for (unsigned i = 1; i <= 9; ++i) places.push_back(put(*tier, i));
  tier->erase(places[3]);
  EXPECT_EQ(tier->pages(), 8u);
  EXPECT_EQ(put(*tier, 99), places[3]);
  for (unsigned i = 1; i <= 9; ++i) expect_at(*tier, places[i - 1], i == 4 ? 99 : i);
  for (std::int64_t const place : places) tier->erase(place);
  EXPECT_EQ(tier->bytes(), 0u);
}

TEST_P(SlowerTiers, NothingLiesWhereNothingWasPut) {
  auto const tier = make();
  Page page{1};
  std::int64_t const place = put(*tier, 1);
  tier->erase(place);
  for (std::int64_t const empty : {place, place + 1, std::int64_t{-1}}) {
    EXPECT_FALSE(tier->get(empty, page.header, page.payload));
    EXPECT_THROW(tier->erase(empty), std::logic_error);
  }
}

INSTANTIATE_TEST_SUITE_P(Both, SlowerTiers, ::testing::Values(TierKind::host, TierKind::file), [](auto const& i) { return to_string(i.param); });

TEST(HostTier, TakesNoMoreThanItMay) {
  Page const page{1};
  auto const tier = make_host_tier(payload_bytes, 3 * (payload_bytes + header_bytes) + 100);
  EXPECT_EQ(tier->room(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_GE(tier->put(page.header, page.payload), 0);
  EXPECT_EQ(tier->put(page.header, page.payload), -1);
  tier->erase(1);
  EXPECT_EQ(tier->put(page.header, page.payload), 1);
}

TEST(FileTier, HasNoNameWhileItIsUsedSoThatNothingIsLeftOfItHoweverTheProcessEnds) {
  Folder const folder;
  Page const page{1};
  auto const tier = make_file_tier(payload_bytes, folder.path.string());
  (void)tier->put(page.header, page.payload);
  EXPECT_TRUE(folder.empty());
  pid_t const child = ::fork();
  if (child == 0) {
    auto const its_own = make_file_tier(payload_bytes, folder.path.string());
    (void)its_own->put(page.header, page.payload);
    (void)::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(folder.empty());
}

TEST(FileTier, AFolderWithoutRoomForAFileIsRefusedByName) {
  Folder const folder;
  std::string const file = (folder.path / "file").string();
  std::ofstream{file} << "x";
  for (std::string const& bad : {std::string{"/nowhere/at/all"}, file}) try {
      (void)make_file_tier(payload_bytes, bad);
      FAIL() << bad;
    } catch (InputError const& error) {
      EXPECT_NE(std::string{error.what()}.find(bad), std::string::npos);
      EXPECT_NE(std::string{error.what()}.find("--tier-dir"), std::string::npos);
    }
}

TEST(FileTier, AFullDiskIsASentenceAndNotASignal) {
  Folder const folder;
  Page const page{1};
  auto const tier = make_file_tier(payload_bytes, folder.path.string());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit const little{4 * payload_bytes, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &little), 0);
  for (int i = 0; i < 3; ++i) EXPECT_GE(tier->put(page.header, page.payload), 0);
  EXPECT_THROW((void)tier->put(page.header, page.payload), RunError);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
}

constexpr double close_enough = 2e-6;   // as in store_test.cpp

StoreOptions tiered(std::size_t copies, std::size_t host_bytes = 1 << 20) {
  StoreOptions options = small_options();
  options.local = true;
  options.tiers = true;
  options.replica_slots = copies;
  options.tier_host_bytes = host_bytes;
  return options;
}

using Between = std::function<void(Step, Store&, std::vector<SmallEngine::Running> const&)>;

/// One rank with two streams, whose pages `between` may move after each step.
Outcome run_tiered(StoreOptions const& options, Between const& between, std::int64_t length = 60) {
  Outcome outcome;
  comm::run_inprocess({.ranks = 1}, [&](comm::World& world) {
    Store store{world, options};
    SmallEngine engine{world, store, {}};
    engine.plan.length = length;
    engine.plan.between = [&](Step step, Store&) { between(step, store, engine.running); };
    engine.run();
    outcome = {engine.worst, engine.outputs, engine.rewinds, store.counts()};
    EXPECT_EQ(store.memory().resident(), 0u);
    EXPECT_EQ(store.arena().free_slots(0), options.slots);
    if (!options.tiers) return;
    EXPECT_EQ(store.tier_bytes(TierKind::host) + store.tier_bytes(TierKind::file), 0u);   // released with their streams
  });
  EXPECT_EQ(outcome.counts.pages_evicted, 0u);
  return outcome;
}

template <typename Visit>
void for_each_sealed(std::vector<SmallEngine::Running> const& running, std::int32_t tables, Visit const& visit) {
  for (auto const& [id, stream] : running)
    for (Block block = 0; block < stream->directory().blocks(); ++block)
      for (std::int32_t table = 0; table < tables; ++table)
        if (auto const life = stream->directory().at(table, block).life; life == PageLife::sealed || life == PageLife::demoted) visit(*stream, table, block);
}

void all_to(TierKind kind, Store& store, std::vector<SmallEngine::Running> const& running) {
  for_each_sealed(running, store.options().layers, [&](Stream& stream, std::int32_t table, Block block) { (void)store.move(stream, table, block, kind); });
}

TEST(TieredStore, AttentionIsExactWhereverPagesLie) {
  for (std::size_t const copies : {1, 3, 60}) {
    std::mt19937 random{7};
    Outcome const outcome = run_tiered(tiered(copies), [&](Step, Store& store, auto const& running) {
      for_each_sealed(running, 2, [&](Stream& stream, std::int32_t table, Block block) { (void)store.move(stream, table, block, static_cast<TierKind>(random() % 3)); });
    });
    EXPECT_LT(outcome.worst, close_enough) << copies << " copies at once";
    EXPECT_GT(outcome.counts.tier_reads, 300u);
    EXPECT_LT(outcome.counts.tier_reads, outcome.counts.page_reads);
    EXPECT_GT(outcome.counts.pages_promoted, 50u);
    EXPECT_EQ(outcome.counts.corrupt + outcome.counts.lost + outcome.rewinds, 0u);
  }
}

TEST(TieredStore, WithRoomForTheCopiesEveryBitIsThatOfOneTier) {
  StoreOptions one = tiered(60);
  one.tiers = false;
  double const plain = run_tiered(one, [](auto&&...) {}).worst;
  for (TierKind const kind : {TierKind::host, TierKind::file})
    EXPECT_EQ(run_tiered(tiered(60), [&](Step, Store& store, auto const& running) { all_to(kind, store, running); }).worst, plain);
}

TEST(TieredStore, WhatLeavesTheArenaIsFreeThereAndCountsInItsTier) {
  StoreOptions const options = tiered(60, 10 * (small_options().layout.bytes() + header_bytes));
  std::size_t most = 0;
  run_tiered(options, [&](Step, Store& store, auto const& running) {
    std::size_t sealed = 0, pages = 0;
    for_each_sealed(running, 2, [&](Stream& stream, std::int32_t table, Block block) {
      ++sealed;
      if (stream.directory().at(table, block).life == PageLife::demoted) return;
      if (!store.move(stream, table, block, TierKind::host)) (void)store.move(stream, table, block, TierKind::file);
    });
    for (auto const& [id, stream] : running) pages += 2 * static_cast<std::size_t>(stream->directory().blocks());
    std::size_t const page = options.layout.bytes() + header_bytes;
    EXPECT_EQ(store.memory().bytes(Memory::payload) + store.memory().bytes(Memory::header), (pages - sealed) * page);
    EXPECT_EQ(store.tier_bytes(TierKind::host), std::min<std::size_t>(sealed, 10) * page);
    EXPECT_EQ(store.tier_bytes(TierKind::host) + store.tier_bytes(TierKind::file), sealed * page);
    most = std::max(most, sealed);
  });
  EXPECT_GT(most, 10u);
}

/// Puts what `change` makes of it into a tier's every place.
template <typename Change>
std::size_t change_all(Tier& tier, std::size_t bytes, Change const& change) {
  PageHeader header;
  std::vector<std::byte> payload(bytes);
  std::size_t changed = 0;
  for (std::int64_t place = 0; place < 1000; ++place) {
    if (!tier.get(place, header, payload)) continue;
    change(header, payload);
    tier.erase(place);
    EXPECT_EQ(tier.put(header, payload), place);
    ++changed;
  }
  return changed;
}

TEST(TieredStore, APageThatRotsInATierIsNeverServedAndItsStreamIsComputedAgain) {
  for (TierKind const kind : {TierKind::host, TierKind::file})
    for (bool const in_header : {false, true})
      for (bool const is_moved : {false, true}) {   // found by a read, or by a move
        std::size_t rotten = 0;
        Outcome const outcome = run_tiered(tiered(3), [&](Step step, Store& store, auto const& running) {
          all_to(kind, store, running);
          if (step != 8) return;
          rotten = change_all(store.tiers().tier(kind), store.options().layout.bytes(), [&](PageHeader& header, auto& payload) {
            if (in_header) header.key.block ^= 1;
            else payload[17] ^= std::byte{4};
          });
          if (is_moved) all_to(kind == TierKind::host ? TierKind::fast : TierKind::host, store, running);
        });
        EXPECT_GT(rotten, 10u);
        EXPECT_LT(outcome.worst, close_enough);
        EXPECT_EQ(outcome.rewinds, 2u);   // streams
        EXPECT_GT(outcome.counts.lost, 0u);
        EXPECT_GE(outcome.counts.corrupt, outcome.counts.lost);
      }
}

TEST(TieredStore, AnOlderPageInTheSamePlaceIsNotTakenForTheNewer) {
  PageHeader old;
  std::vector<std::byte> payload(small_options().layout.bytes());
  Outcome const outcome = run_tiered(tiered(3), [&](Step step, Store& store, auto const& running) {
    if (step != 6) return;
    Stream& stream = *running.front().stream;
    Tier& host = store.tiers().tier(TierKind::host);
    ASSERT_TRUE(store.move(stream, 0, 1, TierKind::host));
    ASSERT_TRUE(host.get(0, old, payload));
    ASSERT_TRUE(store.move(stream, 0, 1, TierKind::fast));
    ASSERT_TRUE(store.move(stream, 0, 1, TierKind::host));
    host.erase(0);
    ASSERT_EQ(host.put(old, payload), 0);   // sound, and of the same key
  });
  EXPECT_EQ(outcome.counts.corrupt, 1u);
  EXPECT_EQ(outcome.rewinds, 1u);
  EXPECT_LT(outcome.worst, close_enough);
}

TEST(TieredStore, APageThatHasRottenInTheArenaDoesNotLeaveIt) {
  StoreOptions options = tiered(3);
  options.scrub_bytes_per_step = 0;
  Outcome const outcome = run_tiered(options, [&](Step step, Store& store, auto const& running) {
    if (step != 6) return;
    Stream& stream = *running.front().stream;
    store.arena().payload(stream.directory().at(1, 2).local)[3] ^= std::byte{1};
    EXPECT_FALSE(store.move(stream, 1, 2, TierKind::host));
    EXPECT_EQ(store.tier_bytes(TierKind::host), 0u);
  });
  EXPECT_EQ(outcome.counts.corrupt, 1u);
  EXPECT_EQ(outcome.rewinds, 1u);
  EXPECT_LT(outcome.worst, close_enough);
}

TEST(TieredStore, EachByteIsHashedOncePerCrossing) {
  StoreOptions options = tiered(3);
  options.scrub_bytes_per_step = 0;
  std::uint64_t const page = options.layout.bytes();
  run_tiered(options, [&](Step step, Store& store, auto const& running) {
    if (step != 6) return;
    Stream& stream = *running.front().stream;
    for (TierKind const to : {TierKind::host, TierKind::file, TierKind::fast}) {
      std::uint64_t const before = hashed_bytes();
      ASSERT_TRUE(store.move(stream, 0, 1, to));
      EXPECT_EQ(hashed_bytes() - before, page);
    }
  });
}

TEST(TieredStore, OpenPagesStay) {
  run_tiered(tiered(3), [&](Step, Store& store, auto const& running) {
    for (auto const& [id, stream] : running) {
      Block const last = stream->directory().blocks() - 1;
      if (stream->directory().at(0, last).life != PageLife::open) continue;
      EXPECT_FALSE(store.move(*stream, 0, last, TierKind::host));
    }
  });
}

}   // namespace
}   // namespace pikv::shards::testing
