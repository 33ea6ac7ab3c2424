// A scheduler that places pages in tiers, in whole engines: nothing is lost, the fast tier holds its share, what is damaged below is computed again.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "comm/error.hpp"
#include "runtime/cache_settings.hpp"
#include "runtime/sizing.hpp"
#include "tests/runtime/engine/agreement.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

using runtime::GenerateOptions;
using runtime::Request;
using shards::Memory;
using shards::TierKind;

std::vector<Request> prompts() { return reference_prompts({"text-257", "text-33", "text-64", "text-1", "text-257"}, small_form() ? 24 : 70); }

GenerateOptions local(int ranks) {
  auto options = options_for(embedded_folder() / "tiny-moe", ranks);
  options.page_tokens = 8;
  options.pin_window = 16;
  options.prefill_chunk = 64;
  options.batch = 2;
  options.store = runtime::StoreMode::local;
  return options;
}

GenerateOptions tiered(int ranks, double keep = .3) {
  auto options = local(ranks);
  options.scheduler = "flexgen";
  options.keep = keep;
  return options;
}

std::vector<std::vector<std::int32_t>> all_tokens(Decoded const& run) {
  std::vector<std::vector<std::int32_t>> tokens;
  for (auto const& [index, result] : run.results) {
    EXPECT_EQ(result.finish, runtime::Finish::length) << result.error;
    tokens.push_back(result.tokens);
  }
  return tokens;
}

/// Of payload and headers in the arena, over all ranks, after each step.
std::vector<double> resident(Decoded const& run) {
  std::vector<double> bytes(run.steps.front().size());
  for (auto const& rank : run.steps)
    for (std::size_t step = 0; step < rank.size(); ++step)
      for (Memory const category : {Memory::payload, Memory::header}) bytes[step] += static_cast<double>(rank[step].memory[static_cast<std::size_t>(category)]);
  return bytes;
}

struct Way {
  char const* name;
  int ranks;
  std::int64_t host;   // bytes
  char const* codec = "none";
};
class TieredEngine : public ::testing::TestWithParam<Way> {};

TEST_P(TieredEngine, TokensAreThoseOfOneTier) {
  auto options = tiered(GetParam().ranks);
  options.tier_host = GetParam().host;
  options.codec = GetParam().codec;
  auto one_tier = local(GetParam().ranks);
  one_tier.codec = GetParam().codec;
  std::vector<std::size_t> most(shards::tier_kinds);
  Decoded const run = decode(options, prompts(), {.after_step = [&](comm::World const&, auto const&, shards::Store& store) {
    for (TierKind const kind : {TierKind::host, TierKind::file}) most[static_cast<std::size_t>(kind)] = std::max(most[static_cast<std::size_t>(kind)], store.tier_bytes(kind));
    EXPECT_LE(store.tier_bytes(TierKind::host), static_cast<std::size_t>(GetParam().host));   // -1: any number
  }});
  EXPECT_EQ(all_tokens(run), all_tokens(decode(one_tier, prompts())));
  EXPECT_EQ(run.counts.pages_evicted, 0u);
  EXPECT_EQ(run.counts.rewinds + run.counts.corrupt + run.counts.lost, 0u);
  EXPECT_GT(run.counts.tier_reads, 1000u);
  EXPECT_LT(run.counts.tier_reads, run.counts.page_reads);
  EXPECT_EQ(most[1] > 0, GetParam().host != 0);
  EXPECT_EQ(most[2] > 0, GetParam().host >= 0);
}

INSTANTIATE_TEST_SUITE_P(Ways, TieredEngine, ::testing::Values(Way{"host", 1, -1}, Way{"file", 1, 0}, Way{"both", 2, 100 << 10}, Way{"coded", 1, -1, "int8"},
                                                         Way{"coded_both", 2, 40 << 10, "int4/none"}), [](auto const& i) { return i.param.name; });

TEST(FastTier, HoldsItsShareOfEachStream) {
  auto const requests = reference_prompts({"text-257"}, small_form() ? 30 : 200);
  auto const exact = resident(decode(local(1), requests));
  for (double const keep : {.3, .5}) {
    auto coded = tiered(1, keep);
    coded.codec = "int4";
    auto const codec = decode(coded, requests);
    auto const kept = resident(decode(tiered(1, keep), requests)), kept_coded = resident(codec);
    EXPECT_GT(codec.counts.tier_reads, 1000u);
    EXPECT_LE(kept_coded[exact.size() - 2] / kept[exact.size() - 2], .6) << "what is in the fast tier is coded, too";
    ASSERT_EQ(kept.size(), exact.size());
    for (std::size_t step = exact.size() - 20; step + 1 < exact.size(); ++step) EXPECT_LE(kept[step] / exact[step], 1.05 * keep) << "step " << step;
    EXPECT_GE(kept[exact.size() - 2] / exact[exact.size() - 2], .8 * keep);
  }
}

// Nor does the arena get the memory that all of a request would need.
TEST(FastTier, MayBeSmallerThanARequest) {
  auto const requests = reference_prompts({"text-257"}, small_form() ? 24 : 120);
  auto options = tiered(1);
  options.tier_host = 0;
  auto const config = runtime::read_config(options.model);
  auto const page = shards::slot_cost(runtime::page_layout(options, config));
  options.kv_budget = 1;
  std::string complaint;
  try {
    (void)decode(options, requests);
  } catch (InputError const& error) {
    complaint = error.what();
  }
  auto const at = complaint.find("give --kv-budget ");
  ASSERT_NE(at, std::string::npos) << complaint;
  options.kv_budget = 1024 * std::stoull(complaint.substr(at + 17));
  std::size_t const all = static_cast<std::size_t>(config.layers) * static_cast<std::size_t>(shards::blocks_for(257 + requests[0].max_new_tokens, options.page_tokens));
  EXPECT_LT(options.kv_budget, all * page * 3 / 4);
  Decoded const run = decode(options, requests);
  EXPECT_EQ(all_tokens(run), all_tokens(decode(local(1), requests)));
}

TEST(FastTier, APageThatRotsBelowItIsComputedAgain) {
  struct Below {
    std::int64_t host;
    char const* codec;
  };
  for (auto const& [host, codec] : {Below{-1, "none"}, Below{0, "none"}, Below{-1, "int8"}, Below{0, "int8"}}) {
    auto options = tiered(1);
    options.tier_host = host;
    options.codec = codec;
    std::size_t rotten = 0;
    Decoded const run = decode(options, prompts(), {.after_step = [&](comm::World const&, runtime::StepRecord const& row, shards::Store& store) {
      if (row.step % 12 != 11 || rotten > 4) return;
      auto& tier = store.tiers().tier(host < 0 ? TierKind::host : TierKind::file);
      shards::PageHeader header;
      std::vector<std::byte> payload(shards::sealed_bytes(store.options(), 0));
      for (std::int64_t place = 0; place < 8; ++place) {
        if (!tier.get(place, header, payload)) continue;
        payload[100] ^= std::byte{1};
        tier.erase(place);
        ASSERT_EQ(tier.put(header, payload), place);
        ++rotten;
        return;
      }
    }});
    EXPECT_GT(rotten, 2u);
    EXPECT_GT(run.counts.rewinds, 0u);
    EXPECT_GE(run.counts.corrupt, run.counts.lost);
    auto const tokens = all_tokens(run);
    if (options.codec == "none") {   // else a rewind is part of the result (docs/codecs.md)
      EXPECT_EQ(tokens, all_tokens(decode(local(1), prompts())));
    }
  }
}

TEST(FastTier, OfATableThatRoutesReadsLessOftenFromBelow) {
  auto options = tiered(1);
  auto const share = [](Decoded const& run) { return static_cast<double>(run.counts.tier_reads) / static_cast<double>(run.counts.page_reads); };
  double const exact = share(decode(options, prompts()));
  options.attention = "routed";
  options.read_pages = 12;
  double const routed = share(decode(options, prompts()));
  EXPECT_LT(routed, exact);
}

}   // namespace
}   // namespace pikv::test
