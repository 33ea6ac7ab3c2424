// Policies in whole engines: what is evicted is free, what is read is what was chosen, and nothing depends on the rank count.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "runtime/cache_settings.hpp"
#include "runtime/fidelity/shadow.hpp"
#include "runtime/routing/routers.hpp"
#include "runtime/scheduling/selections.hpp"
#include "tests/runtime/engine/agreement.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

using runtime::GenerateOptions;
using runtime::Request;
using runtime::SchedulerKind;

std::vector<Request> prompts() { return reference_prompts({"text-257", "text-33", "text-64", "text-1"}, small_form() ? 24 : 60); }

GenerateOptions embedded(int ranks) {
  auto options = options_for(embedded_folder() / "tiny-moe", ranks);
  options.page_tokens = 8;
  options.pin_window = 16;
  return options;
}

std::vector<std::int32_t> all_tokens(Decoded const& run) {
  std::vector<std::int32_t> tokens;
  for (auto const& [index, result] : run.results) {
    EXPECT_NE(result.finish, runtime::Finish::error) << result.error;
    tokens.insert(tokens.end(), result.tokens.begin(), result.tokens.end());
  }
  return tokens;
}

std::vector<std::string> names_of(SchedulerKind kind) {
  std::vector<std::string> names;
  for (auto const& [name, entry] : runtime::schedulers())
    if (entry.kind == kind) names.emplace_back(name);
  return names;
}

std::vector<std::string> retention_names() {
  auto names = names_of(SchedulerKind::retention);
  for (auto const& [name, entry] : runtime::selections()) names.emplace_back(name);
  return in_small_form_only(names, {"adakv", "h2o", "chunk_select"});
}

class Retention : public ::testing::TestWithParam<std::string> {
 protected:
  /// Under the policy, be it a scheduler or a codec that selects.
  static GenerateOptions keeping(double share, int ranks) {
    auto options = embedded(ranks);
    if (auto const found = runtime::selections().find(GetParam()); found != runtime::selections().end()) {
      options.selection = {std::string{found->first}, found->second.keep(share)};   // what is kept is 1 - what is dropped, and the other way round
    } else {
      options.scheduler = GetParam();
      options.keep = share;
    }
    return options;
  }
  /// Of all layers' tokens.
  static double stated_share(GenerateOptions const& options) {
    constexpr std::int32_t layers = 4;
    return options.selection ? runtime::selections().at(options.selection->name).share(options.selection->parameter, layers) : options.keep;
  }
};

TEST_P(Retention, EvictsTheSamePagesOnAnyNumberOfRanks) {
  auto options = keeping(.4, 1);
  Decoded const one = decode(options, prompts());
  EXPECT_GT(one.counts.pages_evicted, 0u);
  for (int const ranks : {2, 3}) {
    options.in_process = ranks;
    Decoded const run = decode(options, prompts());
    EXPECT_EQ(all_tokens(run), all_tokens(one)) << ranks << " ranks";
    EXPECT_EQ(run.counts.cells_evicted, one.counts.cells_evicted);
    EXPECT_EQ(run.counts.rewinds, 0u);
  }
}

/// Payload and headers over all ranks, step by step.
std::vector<double> resident(Decoded const& run) {
  std::vector<double> bytes(run.steps.front().size());
  for (auto const& rank : run.steps)
    for (std::size_t step = 0; step < rank.size(); ++step)
      for (auto const category : {shards::Memory::payload, shards::Memory::header})
        bytes[step] += static_cast<double>(rank[step].memory[static_cast<std::size_t>(category)]);
  return bytes;
}

/// A page on its way lies at its home and at its owner for some steps, so the median of the last steps is compared.
TEST_P(Retention, WhatIsResidentIsTheShareThatWasAskedFor) {
  auto const requests = reference_prompts({"text-257"}, 200);   // so long that a page more or less is little
  auto const exact = resident(decode(embedded(2), requests));
  auto const options = keeping(.5, 2);
  double const share = stated_share(options);
  auto const kept = resident(decode(options, requests));
  ASSERT_EQ(kept.size(), exact.size());
  std::vector<double> shares;
  for (std::size_t step = exact.size() - 32; step < exact.size() - 1; ++step) shares.push_back(kept[step] / exact[step]);
  std::ranges::nth_element(shares, shares.begin() + 15);
  EXPECT_LE(shares[15], 1.05 * share);
  EXPECT_GE(shares[15], .8 * share);
}

/// A page that is lost after others were evicted: the stream begins anew, and what it generated comes again row by row, so nothing changes.
TEST_P(Retention, AStreamThatLostAPageBeginsAnew) {
  auto const options = keeping(.5, 2);
  auto const right = all_tokens(decode(options, prompts()));
  bool taken = false;
  Decoded const run = decode(options, prompts(), {.after_step = [&](comm::World const&, runtime::StepRecord const& row, shards::Store& store) {
    if (taken || row.step < 20) return;
    for (std::int32_t slot = 0; slot < static_cast<std::int32_t>(store.arena().slots(0)) && !taken; ++slot)
      if (store.owner().indexed({slot}).home >= 0) {
        store.owner().evict({slot}, row.step);
        taken = true;
      }
  }});
  EXPECT_TRUE(taken);
  EXPECT_EQ(run.counts.rewinds, 1u);
  EXPECT_EQ(all_tokens(run), right);
}

TEST_P(Retention, KeepingEverythingChangesNothing) {
  Decoded const exact = decode(embedded(2), prompts());
  Decoded const run = decode(keeping(1, 2), prompts());
  EXPECT_EQ(run.counts.pages_evicted, 0u);
  EXPECT_EQ(all_tokens(run), all_tokens(exact));
}

/// Two rounds of reading: what a scheduler hears of is still one ascending list of pages.
TEST_P(Retention, WorksBesideCertifiedAttention) {
  auto options = keeping(.5, 1);
  options.page_tokens = 4;
  options.attention = "certified";
  options.max_error = .3;
  (void)all_tokens(decode(options, prompts()));
}

INSTANTIATE_TEST_SUITE_P(Schedulers, Retention, ::testing::ValuesIn(retention_names()), [](auto const& i) { return i.param; });

/// Watches every rank's attention beside exact attention.
struct Watched {
  std::vector<std::unique_ptr<runtime::Shadow>> shadows;
  explicit Watched(int ranks) : shadows(static_cast<std::size_t>(ranks)) {}
  Watch watch() {
    return {.probe = [this](comm::World const& world, shards::Store const& store) {
      auto& shadow = shadows[static_cast<std::size_t>(world.rank())];
      shadow = std::make_unique<runtime::Shadow>(store);
      return shadow.get();
    }};
  }
  std::vector<float> recall() const {
    std::vector<float> all;
    for (auto const& shadow : shadows) all.insert(all.end(), shadow->fidelity().recall.begin(), shadow->fidelity().recall.end());
    return all;
  }
  double read_share() const {
    double read = 0, ever = 0;
    for (auto const& shadow : shadows) {
      read += static_cast<double>(shadow->fidelity().pages_read);
      ever += static_cast<double>(shadow->fidelity().pages_ever);
    }
    return read / ever;
  }
};

double mean(std::vector<float> const& values) {
  double sum = 0;
  for (float const x : values) sum += x;
  return sum / static_cast<double>(values.size());
}

TEST(ExactAttention, HasARecallOfOne) {
  Watched watched{2};
  decode(embedded(2), prompts(), watched.watch());
  auto const recall = watched.recall();
  ASSERT_GT(recall.size(), 1000u);
  EXPECT_GT(std::ranges::min(recall), 1 - 1e-4f);
}

class Certified : public ::testing::TestWithParam<double> {};

TEST_P(Certified, NoHeadSkipsMoreThanItMay) {
  for (int const ranks : {1, 3}) {
    auto options = embedded(ranks);
    options.attention = "certified";
    options.max_error = GetParam();
    Watched watched{ranks};
    decode(options, prompts(), watched.watch());
    auto const recall = watched.recall();
    ASSERT_GT(recall.size(), 1000u);
    EXPECT_GE(std::ranges::min(recall), 1 - GetParam() - 1e-4);
    if (GetParam() >= .3) {
      EXPECT_LT(watched.read_share(), 1.0);
    }
  }
}
/// The promise is about exact keys: what pages that were read lack is counted against them.
TEST_P(Certified, SkipsNoMoreThanItMayOfTheExactKeysWherePagesAreCoded) {
  for (char const* const codec : {"int4", "fp8"}) {
    Watched watched{1};
    auto options = embedded(1);
    options.page_tokens = 8;
    options.pin_window = 16;
    options.attention = "certified";
    options.max_error = GetParam();
    options.codec = codec;
    options.exact_window = 48;   // full pages that are not sealed yet lie behind the pinned ones
    decode(options, prompts(), watched.watch());
    auto const recall = watched.recall();
    ASSERT_GT(recall.size(), 1000u);
    EXPECT_GE(std::ranges::min(recall), 1 - GetParam() - 1e-4) << codec;
  }
}
INSTANTIATE_TEST_SUITE_P(Errors, Certified, ::testing::Values(.01, .1, .3, .6), [](auto const& i) { return "at_" + std::to_string(static_cast<int>(100 * i.param)) + "_percent"; });

std::vector<std::string> router_names() {
  std::vector<std::string> names;
  for (auto const& [name, entry] : runtime::routers()) names.emplace_back(name);
  return names;
}

class Routed : public ::testing::TestWithParam<std::string> {
 protected:
  Routed() {
    options.attention = "routed";
    options.router = GetParam();
    options.kv_experts = 8;
    options.home = "content";
  }
  GenerateOptions options = embedded(2);
};

TEST_P(Routed, AllExpertsAreExactAttention) {
  options.experts = 8;
  Decoded const exact = decode(embedded(2), prompts());
  EXPECT_EQ(all_tokens(decode(options, prompts())), all_tokens(exact));
}

TEST_P(Routed, FewExpertsReadFewPages) {
  options.experts = 2;
  Watched watched{2};
  Decoded const run = decode(options, prompts(), watched.watch());
  (void)all_tokens(run);
  auto const recall = watched.recall();
  EXPECT_LT(watched.read_share(), .8);
  EXPECT_GT(mean(recall), watched.read_share());   // even a blind router reads the pinned pages, which matter most
  EXPECT_LT(std::ranges::min(recall), 1 - 1e-3);
}
INSTANTIATE_TEST_SUITE_P(Routers, Routed, ::testing::ValuesIn(router_names()), [](auto const& i) { return i.param; });

/// Those that keep no state of their home's other streams.
TEST(StatelessRouters, ReadTheSameOnAnyNumberOfRanks) {
  for (char const* const router : {"hash", "topk", "hierarchical"}) {
    auto options = embedded(1);
    options.attention = "routed";
    options.router = router;
    options.kv_experts = 8;
    options.experts = 2;
    for (char const* const home : {"mod", "content", "router"}) {
      options.home = home;
      options.in_process = 1;
      auto const one = all_tokens(decode(options, prompts()));
      options.in_process = 3;
      EXPECT_EQ(all_tokens(decode(options, prompts())), one) << router << ", home " << home;
    }
  }
}

TEST(ReadPages, AreTheNumberAskedFor) {
  auto options = embedded(2);
  options.attention = "routed";
  options.read_pages = 6;
  Watched watched{2};
  decode(options, prompts(), watched.watch());
  for (auto const& shadow : watched.shadows) {
    auto const& fidelity = shadow->fidelity();
    std::size_t const reads = fidelity.output_error.size();   // one page table a layer
    EXPECT_LE(fidelity.pages_read, 6 * reads);
    EXPECT_LT(fidelity.pages_read, fidelity.pages_ever);
  }
}

TEST(Homes, ServeExactAttentionWhateverTheyChoose) {
  auto const right = all_tokens(decode(embedded(1), prompts()));
  for (char const* const home : {"mod", "round_robin", "content", "router"})
    for (int const ranks : {1, 3}) {
      auto options = embedded(ranks);
      options.home = home;
      EXPECT_EQ(all_tokens(decode(options, prompts())), right) << home << " on " << ranks;
    }
}

}  // namespace
}  // namespace pikv::test
