#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "tests/runtime/engine/agreement.hpp"
#include "tests/runtime/reference_data.hpp"
#include "tests/shards/allocations.hpp"

namespace pikv::test {
namespace {

using runtime::GenerateOptions;
using runtime::Request;
using runtime::StepRecord;

constexpr std::size_t last_step = 90, most_steps = 4096;

/// Allocations of all ranks in each step of rank 0: from its begin to that of the next.
std::vector<std::size_t> allocations_by_step(GenerateOptions const& options, std::vector<Request> const& requests, Decoded& decoded) {
  std::vector<std::size_t> at_begin;
  at_begin.reserve(most_steps);
  decoded = decode(options, requests, {.before_step = [&](comm::World const& world, shards::Step) {
                                         if (world.rank() == 0) at_begin.push_back(allocations());
                                       }});
  std::vector<std::size_t> by_step;
  for (std::size_t i = 0; i + 1 < at_begin.size(); ++i) by_step.push_back(at_begin[i + 1] - at_begin[i]);
  return by_step;
}

/// Every rank decodes one token of each of its sequences and no more: none starts or ends, and with `pages_rest` no page is sealed or moves.
bool only_decodes(Decoded const& decoded, std::size_t step, bool pages_rest) {
  return std::ranges::all_of(decoded.steps, [&](std::vector<StepRecord> const& steps) {
    StepRecord const &now = steps[step], &before = steps[step - 1];
    bool const moved = now.pages_sealed + now.pages_pushed + now.pages_acknowledged > 0 || now.pages_owned != before.pages_owned;
    return now.rows_prefill == 0 && now.sequences == before.sequences && !(moved && pages_rest);
  });
}

class Allocations : public ::testing::TestWithParam<std::tuple<int, std::int32_t>> {};   // ranks, page tokens

// Alone, a rank seals pages without allocating, too. Where pages move between ranks, lists of pages may grow with them.
TEST_P(Allocations, NoneForATokenOnceWarm) {
  auto const [ranks, page_tokens] = GetParam();
  auto options = options_for(embedded_folder() / "tiny-moe", ranks);
  options.page_tokens = page_tokens;
  options.batch = 4;
  Decoded decoded;
  auto const requests =
      reference_prompts({"text-17", "text-33", "text-64", "sample-0", "sample-1", "sample-2", "sample-4", "text-5"}, static_cast<std::int32_t>(last_step) + 9);
  auto const allocated = allocations_by_step(options, requests, decoded);
  std::size_t compared = 0;
  for (std::size_t step = 40; step < last_step; ++step) {   // warm: pages have been sealed, pushed, and acknowledged on every rank
    if (!only_decodes(decoded, step, ranks > 1)) continue;
    EXPECT_EQ(allocated[step], 0u) << "in step " << step;
    ++compared;
  }
  EXPECT_GE(compared, 20u);
}

// Pages that lie in slower tiers are read in every step; they move when one is sealed, and what is attended grows when one is opened.
TEST(AllocationsOfTiers, NoneForATokenWhilePagesRest) {
  auto options = options_for(embedded_folder() / "tiny-moe", 1);
  options.batch = 4;
  options.store = runtime::StoreMode::local;
  options.scheduler = "flexgen";
  options.keep = .3;
  options.pin_window = 8;
  for (std::int64_t const host : {-1, 0}) {
    options.tier_host = host;
    Decoded decoded;
    auto const allocated = allocations_by_step(options, reference_prompts({"text-17", "text-33", "text-64", "sample-0"}, static_cast<std::int32_t>(last_step) + 9), decoded);
    EXPECT_GT(decoded.counts.tier_reads, 500u);
    std::size_t compared = 0;
    for (std::size_t step = 40; step < last_step; ++step) {
      if (!only_decodes(decoded, step, true) || !only_decodes(decoded, step - 1, true)) continue;
      EXPECT_EQ(allocated[step], 0u) << "in step " << step;
      ++compared;
    }
    EXPECT_GE(compared, 20u);
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, Allocations, ::testing::Values(std::tuple{1, 8}, std::tuple{1, 32}, std::tuple{3, 32}));

}   // namespace
}   // namespace pikv::test
