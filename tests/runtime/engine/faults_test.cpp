// Whole engines under faults: the tokens are those of a run without faults, or the request ends with an error; a rank in trouble of
// its own ends all ranks with one sentence. Nothing hangs (the clock is virtual, so a deadline that passes shows at once).
#include <gtest/gtest.h>

#include <algorithm>

#include "comm/error.hpp"
#include "comm/faults.hpp"
#include "comm/inprocess_world.hpp"
#include "shards/mix.hpp"
#include "tests/runtime/engine/harness.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

std::vector<runtime::Request> some_requests() {
  std::vector<runtime::Request> requests;
  for (std::int64_t i = 0; i < 6; ++i) {
    runtime::Request request;
    request.index = i;
    request.id = std::to_string(i);
    for (std::int32_t t = 0; t < 20 + 17 * i; ++t) request.prompt.push_back(static_cast<std::int32_t>((t * 31 + i * 7) % 96 + 32));
    request.max_new_tokens = 20;
    requests.push_back(request);
  }
  return requests;
}

runtime::GenerateOptions options(int ranks, shards::Move move) {
  auto options = options_for(embedded_folder() / "tiny-moe", ranks);
  options.page_tokens = 8;
  options.prefill_chunk = 32;
  options.batch = 3;
  options.move = move;
  return options;
}

TEST(EngineFaults, TokensAreRightOrTheRequestEndsWithAnError) {
  auto const requests = some_requests();
  auto const right = decode(options(1, shards::Move::query), requests);
  std::uint64_t faults = 0, rewinds = 0, wrong = 0, errors = 0;
  std::uint64_t const seeds = small_form() ? 2 : 12;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    comm::FaultPlan plan;
    plan.seed = seed;
    plan.drop = plan.flip = plan.truncate = 0.02 * static_cast<double>(1 + seed % 5);
    plan.delay = plan.duplicate = plan.reorder = 0.03;
    auto const with = options(3, seed % 2 == 0 ? shards::Move::query : shards::Move::page);
    comm::run_inprocess({.ranks = 3, .seed = seed}, [&](comm::World& world) {
      auto const faulty = comm::make_faulty_world(world, plan);
      auto const part = decode_on(*faulty, with, requests);
      for (auto const& [index, result] : part.results) {
        rewinds += static_cast<std::uint64_t>(result.rewinds);
        if (result.finish == runtime::Finish::error) ++errors;
        else if (result.tokens != right.results.at(index).tokens) ++wrong;
      }
      faults += faulty->fault_counts().total();
    });
  }
  std::printf("%llu faults in %llu runs: %llu rewinds, %llu requests ended with an error\n", static_cast<unsigned long long>(faults),
              static_cast<unsigned long long>(seeds), static_cast<unsigned long long>(rewinds), static_cast<unsigned long long>(errors));
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(faults, 100u);
}

TEST(EngineFaults, EvictedPagesAreComputedAgainAndTheTokensStayRight) {
  auto const requests = some_requests();
  auto const right = decode(options(1, shards::Move::query), requests);
  Watch watch;
  watch.after_step = [](comm::World const&, runtime::StepRecord const& row, shards::Store& store) {
    if (row.step != 9) return;
    for (std::int32_t i = 0; i < static_cast<std::int32_t>(store.arena().slots(0)); ++i) {
      shards::Slot const slot{i};
      auto const& key = store.arena().header(slot).key;
      if (store.owner().holds({i, static_cast<std::uint32_t>(store.arena().generation(slot))}, key)) store.owner().evict(slot, row.step);
    }
  };
  auto const decoded = decode(options(3, shards::Move::query), requests, watch);
  EXPECT_GT(decoded.counts.rewinds, 0u);
  for (auto const& [index, result] : decoded.results) EXPECT_EQ(result.tokens, right.results.at(index).tokens) << "request " << index;
}

// The same on one rank, where the keys lie at home, and on three, where owners attend them: the request ends, the others go on.
TEST(EngineFaults, KeysThatAreNotNumbersEndTheirRequestAndNoOther) {
  auto const requests = some_requests();
  for (int const ranks : {1, 3}) {
    auto with = options(ranks, shards::Move::query);
    with.scrub = 0;   // it would find what is written here
    auto const right = decode(with, requests);
    std::int64_t const victim = 5;
    shards::StreamId const stream{shards::mix(victim), shards::mix(~static_cast<std::uint64_t>(victim))};
    Watch watch;
    watch.after_step = [&](comm::World const&, runtime::StepRecord const&, shards::Store& store) {
      for (std::int32_t i = 0; i < static_cast<std::int32_t>(store.arena().slots(0)); ++i) {
        shards::PageKey const& key = store.arena().header({i}).key;
        bool const away = ranks == 1 || store.owner().indexed({i}).home >= 0;
        if (away && key.stream == stream && key.block == 3) std::ranges::fill(store.arena().payload({i}), std::byte{0xFF});
      }
    };
    auto const decoded = decode(with, requests, watch);
    for (auto const& [index, result] : decoded.results) {
      EXPECT_EQ(result.finish == runtime::Finish::error, index == victim) << ranks << " ranks, request " << index;
      if (index != victim) {
        EXPECT_EQ(result.tokens, right.results.at(index).tokens);
      }
    }
    EXPECT_NE(decoded.results.at(victim).error.find("not finite"), std::string::npos) << decoded.results.at(victim).error;
  }
}

TEST(EngineFaults, RotAnywhereIsFoundAndTheTokensStayRight) {
  auto const requests = some_requests();
  auto const right = decode(options(1, shards::Move::query), requests);
  auto with = options(3, shards::Move::query);
  with.scrub = 1 << 30;
  std::uint64_t rotten = 0;
  Watch watch;
  watch.after_step = [&](comm::World const&, runtime::StepRecord const& row, shards::Store& store) {
    if (row.step != 9) return;
    for (std::int32_t i = 0; i < static_cast<std::int32_t>(store.arena().slots(0)); ++i)
      if (store.arena().booked({i}) && store.arena().header({i}).state == shards::PageState::ready) {
        store.arena().payload({i})[store.options().layout.bytes() / 2 + 3] ^= std::byte{128};
        ++rotten;
      }
  };
  auto const decoded = decode(with, requests, watch);
  EXPECT_GT(rotten, 0u);
  EXPECT_GT(decoded.counts.rewinds, 0u);
  for (auto const& [index, result] : decoded.results) EXPECT_EQ(result.tokens, right.results.at(index).tokens) << "request " << index;
}

TEST(EngineFaults, ARankThatThrowsAloneEndsAllRanksWithItsSentence) {
  auto const requests = some_requests();
  int told = 0;
  auto const run = [&] {
    comm::run_inprocess({.ranks = 3}, [&](comm::World& world) {
      Watch watch;
      watch.before_step = [](comm::World const& on, shards::Step step) {
        if (on.rank() == 1 && step == 5) throw RunError("the disk of this rank is full; free some");
      };
      try {
        (void)decode_on(world, options(3, shards::Move::query), requests, watch);
      } catch (Error const&) {
        ++told;
        throw;
      }
    });
  };
  try {
    run();
    FAIL() << "nobody noticed";
  } catch (Error const& error) {
    EXPECT_NE(std::string{error.what()}.find("disk of this rank"), std::string::npos) << error.what();
  }
  EXPECT_EQ(told, 3);
}

}  // namespace
}  // namespace pikv::test
