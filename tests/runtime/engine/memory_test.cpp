#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/runtime/engine/agreement.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

using runtime::GenerateOptions;
using runtime::Request;
using runtime::StepRecord;

constexpr double late = 400;   // virtual seconds at which the last request comes, on every rank the only one by then

class MemoryOfAWholeRun : public ::testing::TestWithParam<std::tuple<int, shards::Move, runtime::StoreMode>> {
 protected:
  MemoryOfAWholeRun() {
    options.page_tokens = 8;
    options.prefill_chunk = 64;
    options.batch = 2;
    options.move = std::get<1>(GetParam());
    options.store = std::get<2>(GetParam());
    requests.back().arrival_s = late;
  }
  GenerateOptions options = options_for(embedded_folder() / "tiny-moe", std::get<0>(GetParam()));
  std::vector<Request> requests = reference_prompts({"text-257", "text-33", "text-64", "text-5", "text-17", "text-1"}, 12);
};

TEST_P(MemoryOfAWholeRun, EveryByteIsInOneCategoryAfterEveryStep) {
  decode(options, requests, {.after_step = [](comm::World const&, StepRecord const& step, shards::Store& store) {
           ASSERT_EQ(std::accumulate(step.memory.begin(), step.memory.end(), std::uint64_t{0}), store.memory().total());
           std::size_t const pages = step.pages_home + step.pages_owned;
           ASSERT_EQ(step.memory[static_cast<std::size_t>(shards::Memory::header)], pages * 256);
           ASSERT_EQ(step.memory[static_cast<std::size_t>(shards::Memory::payload)], pages * store.options().layout.bytes());
         }});
}

TEST_P(MemoryOfAWholeRun, NothingIsLeftOnceEveryRequestHasEnded) {
  std::vector<std::uint64_t> most_tokens(static_cast<std::size_t>(options.in_process));
  std::size_t empty_steps = 0;
  decode(options, requests, {.after_step = [&](comm::World const& world, StepRecord const& step, shards::Store& store) {
           auto& most = most_tokens[static_cast<std::size_t>(world.rank())];
           most = std::max(most, step.tokens_resident);
           if (step.begin < late / 2 || step.begin >= late) return;
           ++empty_steps;
           shards::Arena const& arena = store.arena();
           ASSERT_EQ(step.tokens_resident, 0u);
           ASSERT_EQ(store.memory().resident(), 0u);
           ASSERT_EQ(step.pages_home + step.pages_owned, 0u);
           ASSERT_EQ(arena.retired_slots(0), 0u);
           ASSERT_EQ(arena.free_slots(0), arena.slots(0));
           ASSERT_EQ(store.owner().used(), 0u);   // nor does a slot stay lent to a writer who wants none
         }});
  EXPECT_GT(empty_steps, 0u);
  for (auto const most : most_tokens) EXPECT_GT(most, 0u);
}

INSTANTIATE_TEST_SUITE_P(Ways, MemoryOfAWholeRun,
                         ::testing::Combine(::testing::Values(1, 3), ::testing::Values(shards::Move::query, shards::Move::page),
                                            ::testing::Values(runtime::StoreMode::sharded, runtime::StoreMode::local)));

TEST(Memory, ResidentTokensAreThoseOfTheRunningSequences) {
  auto const requests = reference_prompts({"text-64"}, 10);
  auto const options = options_for(embedded_folder() / "tiny-moe", 1);
  auto const decoded = decode(options, requests);
  std::uint64_t tokens = 0;
  for (StepRecord const& step : decoded.steps[0]) {
    tokens += static_cast<std::uint64_t>(step.rows_prefill + step.rows_decode);
    EXPECT_EQ(step.tokens_resident, tokens) << "step " << step.step;   // of the last step, too: before the request's pages are given back
  }
  EXPECT_EQ(tokens, 64u + 9u);   // the last token is never fed back
}

}   // namespace
}   // namespace pikv::test
