#include <gtest/gtest.h>

#include <cstdio>

#include "shards/header.hpp"
#include "tests/runtime/engine/agreement.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

using runtime::Purpose;
using runtime::Request;
using runtime::StepRecord;
using shards::Move;

// tiny-moe
constexpr std::uint64_t layers = 4, q_heads = 4, head_dim = 64, hidden = 256, experts_per_token = 2;

std::uint64_t bytes(StepRecord const& step, Purpose purpose) { return step.bytes[static_cast<std::size_t>(purpose)]; }
std::uint64_t messages(StepRecord const& step, Purpose purpose) { return step.messages[static_cast<std::size_t>(purpose)]; }
std::int32_t rows(StepRecord const& step) { return step.rows_decode + step.rows_prefill; }

class CountsOfAStep : public ::testing::TestWithParam<std::tuple<int, Move>> {
 protected:
  CountsOfAStep() {
    auto options = options_for(embedded_folder() / "tiny-moe", ranks);
    options.page_tokens = 8;
    options.prefill_chunk = 48;
    options.batch = 2;
    options.move = std::get<1>(GetParam());
    auto requests = reference_prompts({"text-257", "text-33", "text-64", "text-5", "text-17"}, 12);
    requests.back().arrival_s = 50;   // so that there are steps without rows
    decoded = decode(options, requests);
    page_bytes = runtime_layout(options).bytes();
  }
  static kernels::PageLayout runtime_layout(runtime::GenerateOptions const& options) { return {options.kv_dtype, 2, options.page_tokens, 64}; }
  std::int32_t rows_everywhere(std::size_t step) const {
    std::int32_t sum = 0;
    for (auto const& steps : decoded.steps) sum += rows(steps[step]);
    return sum;
  }
  int const ranks = std::get<0>(GetParam());
  std::uint64_t const peers = static_cast<std::uint64_t>(ranks) - 1;
  std::uint64_t page_bytes = 0;
  Decoded decoded;
};

TEST_P(CountsOfAStep, FourExchangesALayerAndOneWhereAnyRankHasRows) {
  std::size_t steps_without_rows = 0;
  for (auto const& steps : decoded.steps)
    for (std::size_t i = 0; i < steps.size(); ++i) {
      ASSERT_EQ(steps[i].exchanges, rows_everywhere(i) > 0 ? 4 * layers + 1 : 1) << "step " << i;
      steps_without_rows += rows_everywhere(i) == 0 ? 1 : 0;
    }
  EXPECT_GT(steps_without_rows, 0u);
}

TEST_P(CountsOfAStep, OneMessageToEveryPeerInEveryExchange) {
  for (auto const& steps : decoded.steps)
    for (StepRecord const& step : steps) {
      std::uint64_t sent = 0;
      for (Purpose const purpose : {Purpose::control, Purpose::query, Purpose::partial, Purpose::dispatch, Purpose::combine})
        sent += messages(step, purpose);
      ASSERT_EQ(sent, step.exchanges * peers);
      ASSERT_EQ(messages(step, Purpose::control), peers);
    }
}

TEST_P(CountsOfAStep, APutAndAGetEachForHeaderAndPayloadOfAPage) {
  std::uint64_t pushed = 0, fetched = 0;
  for (auto const& steps : decoded.steps)
    for (StepRecord const& step : steps) {
      ASSERT_EQ(messages(step, Purpose::push), 2 * step.pages_pushed);
      ASSERT_EQ(bytes(step, Purpose::push), step.pages_pushed * (shards::header_bytes + page_bytes));
      ASSERT_EQ(messages(step, Purpose::fetch), 2 * step.pages_fetched);
      ASSERT_EQ(bytes(step, Purpose::fetch), step.pages_fetched * (shards::header_bytes + page_bytes));
      pushed += step.pages_pushed;
      fetched += step.pages_fetched;
    }
  EXPECT_EQ(pushed > 0, ranks > 1);
  EXPECT_EQ(fetched > 0, ranks > 1 && std::get<1>(GetParam()) == Move::page);
}

TEST_P(CountsOfAStep, NoPageIsEverDamagedOrSought) {
  for (auto const& steps : decoded.steps)
    for (StepRecord const& step : steps) ASSERT_EQ(step.corrupt + step.stale + step.timeout + step.refetched + step.rewinds, 0u);
}

INSTANTIATE_TEST_SUITE_P(Ways, CountsOfAStep, ::testing::Combine(::testing::Values(1, 2, 3, 5), ::testing::Values(Move::query, Move::page)));

/// One sequence at home on rank 0 of two: all pages that are not at home are on rank 1, and all queries go there.
TEST(BytesOfAStep, QueriesAndPartialsAreAsLongAsTheirFormulas) {
  auto options = options_for(embedded_folder() / "tiny-moe", 2);
  options.page_tokens = 8;
  options.prefill_chunk = 5;   // an odd number of rows
  options.move = Move::query;
  auto const decoded = decode(options, reference_prompts({"text-64"}, 20));
  auto const& home = decoded.steps[0];
  auto const& owner = decoded.steps[1];
  std::uint64_t shipped = 0;
  for (std::size_t i = 1; i < home.size(); ++i) {
    std::uint64_t const pages = owner[i - 1].pages_owned;   // what rank 1 had indexed, the home knows one step later
    auto const r = static_cast<std::uint64_t>(rows(home[i]));
    std::uint64_t const query = layers * (40 + r * q_heads * head_dim * 4) + pages * 8;
    std::uint64_t const partial = layers * (8 + 2 * r * q_heads * 4 + r * q_heads * head_dim * 4);
    ASSERT_EQ(bytes(home[i], Purpose::query), pages > 0 ? query : 0) << "step " << i;
    ASSERT_EQ(bytes(owner[i], Purpose::partial), pages > 0 ? partial : 0) << "step " << i;
    ASSERT_EQ(bytes(home[i], Purpose::partial) + bytes(owner[i], Purpose::query), 0u);
    shipped += bytes(home[i], Purpose::query);
  }
  EXPECT_GT(shipped, 0u);
}

/// Of 16 ranks the odd ones hold no expert, and the even ones one each: every row at home on rank 1 goes to two other ranks.
TEST(BytesOfAStep, DispatchAndCombineAreAsLongAsTheirFormulas) {
  auto requests = reference_prompts({"text-1", "text-17"}, 10);
  requests[0].max_new_tokens = 1;
  auto options = options_for(embedded_folder() / "tiny-moe", 16);
  options.prefill_chunk = 1;   // one row a step
  auto const decoded = decode(options, requests);
  std::size_t compared = 0;
  for (std::size_t i = 0; i < decoded.steps[1].size(); ++i) {
    std::uint64_t dispatched = 0, combined = 0;
    std::int32_t elsewhere = 0;
    for (std::size_t rank = 0; rank < decoded.steps.size(); ++rank) {
      StepRecord const& step = decoded.steps[rank][i];
      dispatched += bytes(step, Purpose::dispatch);
      combined += bytes(step, Purpose::combine);
      elsewhere += rank == 1 ? 0 : rows(step);
    }
    if (elsewhere > 0 || rows(decoded.steps[1][i]) != 1) continue;
    ASSERT_EQ(dispatched, layers * experts_per_token * (8 + 8 + hidden * 4));
    ASSERT_EQ(combined, layers * experts_per_token * hidden * 4);
    ++compared;
  }
  EXPECT_GE(compared, 17u + 9u - 2u);
}

TEST(PagesByOwner, TwoThirdsOfTheSealedPagesOfThreeRanksLiveElsewhere) {
  auto options = options_for(embedded_folder() / "tiny-moe", 3);
  auto const requests = small_form() ? reference_prompts({"text-1000"}, 8) : reference_prompts({"text-1000", "needle-1000-0", "text-2500", "needle-4000-0"}, 32);
  auto const counts = decode(options, requests).counts;
  double const share = static_cast<double>(counts.pages_remote) / static_cast<double>(counts.pages_sealed);
  std::printf("%llu of %llu sealed pages were on other ranks: %.2f\n", static_cast<unsigned long long>(counts.pages_remote),
              static_cast<unsigned long long>(counts.pages_sealed), share);
  EXPECT_GE(share, 0.55);
  EXPECT_LE(share, 0.70);
}

}   // namespace
}   // namespace pikv::test
