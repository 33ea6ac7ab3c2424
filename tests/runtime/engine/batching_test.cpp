#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "comm/error.hpp"
#include "runtime/sizing.hpp"
#include "shards/arena.hpp"
#include "tests/runtime/engine/agreement.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

using runtime::Finish;
using runtime::GenerateOptions;
using runtime::Request;

/// Prompts of 1 to 150 bytes that get 1 to 20 new tokens, `count` of them or the usual 20.
std::vector<Request> mixed_requests(std::int64_t count = small_form() ? 8 : 20) {
  auto const text = reference_prompts({"text-1000"}, 1).front().prompt;
  std::vector<Request> requests;
  for (std::int64_t i = 0; i < count; ++i) {
    auto const first = text.begin() + 40 * i;
    requests.push_back({.index = i, .id = std::to_string(i), .prompt = {first, first + 1 + i * 37 % 150},
                        .max_new_tokens = static_cast<std::int32_t>(1 + i * 7 % 20)});
  }
  return requests;
}

GenerateOptions embedded(int ranks) {
  auto options = options_for(embedded_folder() / "tiny-moe", ranks);
  options.page_tokens = 8;
  options.prefill_chunk = 32;
  options.batch = 2;
  return options;
}

void expect_all_ended(Decoded const& decoded, std::vector<Request> const& requests) {
  ASSERT_EQ(decoded.results.size(), requests.size());
  for (Request const& request : requests) {
    auto const& result = decoded.results.at(request.index);
    EXPECT_EQ(result.error, "") << "request " << request.index;
    EXPECT_EQ(result.finish, Finish::length);
    EXPECT_EQ(result.tokens.size(), static_cast<std::size_t>(request.max_new_tokens));
  }
}

TEST(Batching, EndsMoreRequestsThanRunAtOnceWithTheTokensOfEachAlone) {
  auto const requests = mixed_requests();
  auto alone = embedded(1);
  alone.batch = 1;
  auto const right = decode(alone, requests, {.logits = true});
  for (int const ranks : {1, 2, 3}) {
    auto const decoded = decode(embedded(ranks), requests);
    expect_all_ended(decoded, requests);
    expect_same_tokens(right, decoded, 1e-3);
    for (auto const& steps : decoded.steps)
      for (auto const& step : steps) ASSERT_LE(step.sequences, 2);
  }
}

TEST(Batching, RunsAsManyAsItMayMostOfTheTime) {
  auto const requests = mixed_requests();
  auto const decoded = decode(embedded(1), requests);
  std::size_t full = 0, busy = 0;
  for (auto const& step : decoded.steps[0]) {
    busy += step.sequences > 0 ? 1 : 0;
    full += step.sequences == 2 ? 1 : 0;
  }
  EXPECT_GT(2 * full, busy);   // pages of an ended request are free some steps later
}

TEST(Batching, StartsNoRequestBeforeItArrives) {
  auto requests = mixed_requests(6);
  for (Request& request : requests) request.arrival_s = 40.0 * static_cast<double>(request.index % 3);   // virtual seconds
  for (int const ranks : {1, 3}) {
    auto const decoded = decode(embedded(ranks), requests);
    expect_all_ended(decoded, requests);
    for (Request const& request : requests) {
      auto const& result = decoded.results.at(request.index);
      EXPECT_EQ(result.arrival, request.arrival_s);
      EXPECT_GE(result.first_token, request.arrival_s);
      EXPECT_LT(result.first_token, request.arrival_s + 39) << "waited for more than its arrival";
      EXPECT_GE(result.end, result.first_token);
    }
  }
}

/// The budget that size_store asks for when it is given none to speak of, in bytes.
std::uint64_t budget_asked_for(GenerateOptions options, std::vector<Request> const& requests) {
  auto const config = runtime::read_config(options.model);
  options.kv_budget = 1;
  try {
    (void)runtime::size_store(options, config, requests, options.in_process, options.in_process, std::uint64_t{1} << 30);
  } catch (InputError const& error) {
    std::string const sentence = error.what(), before = "give --kv-budget ";
    auto const at = sentence.find(before);
    if (at != std::string::npos) return std::strtoull(sentence.c_str() + at + before.size(), nullptr, 10) * 1024;
    ADD_FAILURE() << "names no budget: " << sentence;
  }
  return 0;
}

class TightBudget : public ::testing::TestWithParam<int> {};   // ranks

TEST_P(TightBudget, IsRefusedOneSlotBelowTheNumberThatIsNamed) {
  auto const requests = mixed_requests();
  auto options = embedded(GetParam());
  auto const config = runtime::read_config(options.model);
  std::uint64_t const enough = budget_asked_for(options, requests);
  auto const size = [&] { return runtime::size_store(options, config, requests, GetParam(), GetParam(), std::uint64_t{1} << 30); };
  options.kv_budget = enough;
  EXPECT_NO_THROW((void)size());
  options.kv_budget = enough - shards::slot_cost(runtime::page_layout(options, config));
  EXPECT_THROW((void)size(), InputError);
}

TEST_P(TightBudget, EndsEveryRequest) {
  auto const requests = mixed_requests();
  for (auto const move : {shards::Move::query, shards::Move::page}) {
    auto options = embedded(GetParam());
    auto const right = decode(options, requests, {.logits = true});
    options.move = move;
    options.kv_budget = budget_asked_for(options, requests);
    auto const decoded = decode(options, requests);
    expect_all_ended(decoded, requests);
    expect_same_tokens(right, decoded, 1e-3);
    EXPECT_EQ(decoded.counts.rewinds, 0u);
  }
}

TEST_P(TightBudget, EndsEveryRequestWithEveryPageAtItsHome) {
  auto const requests = mixed_requests();
  auto options = embedded(GetParam());
  options.store = runtime::StoreMode::local;
  options.kv_budget = budget_asked_for(options, requests);
  expect_all_ended(decode(options, requests), requests);
}

/// Requests that end in the step that seals their pages have asked for slots that they never fill. Those must not stay lent for ever: the
/// last request fills all slots that there are.
TEST(TightBudgetOfManyRanks, EndsALargeRequestAfterManyThatAskedForSlotsInVain) {
  constexpr int ranks = 8;
  auto const text = reference_prompts({"text-1000"}, 1).front().prompt;
  std::vector<Request> requests;
  for (std::int64_t index = 0; index < 12 * ranks; ++index)
    requests.push_back({.index = index, .id = std::to_string(index), .prompt = {text.begin(), text.begin() + 24}, .max_new_tokens = 1});
  requests.back().prompt.assign(text.begin(), text.begin() + 480);
  requests.back().arrival_s = 100;   // when the others have long ended
  auto options = embedded(ranks);
  options.batch = 1;
  options.prefill_chunk = 24;
  options.kv_budget = budget_asked_for(options, requests);
  expect_all_ended(decode(options, requests), requests);
}

INSTANTIATE_TEST_SUITE_P(Ranks, TightBudget, ::testing::Values(1, 2, 3, 4));

}   // namespace
}   // namespace pikv::test
