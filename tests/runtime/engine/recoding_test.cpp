// Whole engines whose pages cool: the same tokens however many ranks store them, fewer bytes, and no guess where one is lost on the way.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <optional>
#include <set>

#include "comm/error.hpp"
#include "comm/faults.hpp"
#include "comm/inprocess_world.hpp"
#include "runtime/agree.hpp"
#include "runtime/checkpoint/files.hpp"
#include "runtime/checkpoint/reader.hpp"
#include "runtime/model/model.hpp"
#include "runtime/page_storage.hpp"
#include "runtime/sizing.hpp"
#include "tests/runtime/engine/agreement.hpp"
#include "tests/runtime/engine/embedded_calibration.hpp"
#include "tests/runtime/engine/saved_jobs.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

using runtime::GenerateOptions;
using runtime::Request;
using shards::Level;
using shards::Memory;
using shards::Move;

constexpr double tolerance = 1e-3;   // of logits between ways to the same pages

GenerateOptions cooling(std::string const& codec, int ranks) {
  auto options = options_for(embedded_folder() / "tiny-moe", ranks);
  options.page_tokens = 8;
  options.prefill_chunk = 64;
  options.batch = 3;
  options.codec = codec;
  return options;
}

runtime::Calibration const* calibration_for(std::string const& codec) { return codec.find("svd") != std::string::npos ? &embedded_calibration() : nullptr; }

/// One, so that the chunks of its prompt are the same on any number of ranks, which are exact attention inside of them.
std::vector<Request> one_long() { return reference_prompts({"text-257"}, 40); }
std::vector<Request> some() { return reference_prompts({"text-257", "text-33", "text-64", "text-5"}, 24); }

/// One rank's tokens and logits of one_long().
Decoded const& alone(std::string const& codec) {
  static std::map<std::string, Decoded> kept;
  auto const [entry, missing] = kept.try_emplace(codec);
  if (missing) entry->second = decode(cooling(codec, 1), one_long(), {.logits = true, .calibration = calibration_for(codec)});
  return entry->second;
}

/// Of rows after the same tokens.
double worst_row(Decoded const& right, Decoded const& run) {
  auto const& tokens = right.results.at(0).tokens;
  auto const equal = std::ranges::mismatch(tokens, run.results.at(0).tokens).in1 - tokens.begin();
  double worst = 0;
  for (auto const& [place, row] : right.logits)
    if (place.second < right.results.at(0).prompt_tokens + equal) worst = std::max(worst, row_error(run.logits.at(place), row));
  return worst;
}

class CoolingPages : public ::testing::TestWithParam<char const*> {};

TEST_P(CoolingPages, GiveOneRanksLogitsWhereverTheyLieAndHoweverTheyAreRead) {
  Decoded const& right = alone(GetParam());
  EXPECT_GT(right.counts.pages_recoded, 50u);
  for (int const ranks : {2, 3})
    for (Move const move : {Move::query, Move::page}) {
      auto options = cooling(GetParam(), ranks);
      options.move = move;
      Decoded const run = decode(options, one_long(), {.logits = true, .calibration = calibration_for(GetParam())});
      EXPECT_GT(run.counts.pages_remote, 0u);
      EXPECT_EQ(run.counts.rewinds, 0u);
      EXPECT_EQ(run.counts.pages_recoded, right.counts.pages_recoded);
      EXPECT_GT(expect_same_tokens(right, run, tolerance), 0u) << ranks << " ranks";
      EXPECT_LE(worst_row(right, run), tolerance) << ranks << " ranks";
    }
}

TEST_P(CoolingPages, UnderFaultsTokensAreRightOrTheRequestEndsWithAnError) {
  Decoded const& right = alone(GetParam());
  comm::FaultPlan plan;
  plan.drop = plan.flip = plan.truncate = .04;
  plan.delay = plan.duplicate = plan.reorder = .03;
  plan.seed = 7;
  std::uint64_t faults = 0;
  for (Move const move : {Move::query, Move::page}) {
    auto options = cooling(GetParam(), 3);
    options.move = move;
    comm::run_inprocess({.ranks = 3}, [&](comm::World& world) {
      auto const faulty = comm::make_faulty_world(world, plan);
      Decoded const part = decode_on(*faulty, options, one_long(), {.calibration = calibration_for(GetParam())});
      for (auto const& [index, result] : part.results)
        if (result.finish != runtime::Finish::error) expect_same_tokens(right.results.at(index).tokens, result.tokens, result, right.logits, 20 * tolerance);   // a damaged push: cold later
      faults += faulty->fault_counts().total();
    });
  }
  EXPECT_GT(faults, 30u);
}

TEST_P(CoolingPages, TakeTheBytesThatTheirLevelsStateAndNoMore) {
  auto options = cooling(GetParam(), 2);
  auto const model = runtime::Model::load(options.model, 0, 1);
  auto const codecs = runtime::make_page_storage(options, model.config(), calibration_for(GetParam())).codecs;
  EXPECT_LT(codecs->stated_ratio(Level::cold), codecs->stated_ratio());
  std::size_t looked[2] = {};
  decode(options, some(), {.calibration = calibration_for(GetParam()), .after_step = [&](comm::World const&, runtime::StepRecord const&, shards::Store& store) {
    shards::Arena& arena = store.arena();
    std::size_t all = 0, payload[2] = {}, pages[2] = {};
    for (std::int32_t i = 0; i < arena.end(); ++i) {
      shards::Slot const slot{i};
      if (!arena.is_slot(slot) || !arena.booked(slot)) continue;
      bool const is_coded = arena.size_class(slot) > 0;
      std::size_t const bytes = is_coded ? arena.header(slot).payload_bytes : store.options().layout.bytes();
      all += bytes + shards::header_bytes;
      if (!is_coded) continue;
      auto const level = static_cast<std::size_t>(codecs->level_of(arena.size_class(slot)));
      payload[level] += bytes;
      ++pages[level];
    }
    ASSERT_EQ(store.memory().bytes(Memory::payload) + store.memory().bytes(Memory::header) + store.memory().bytes(Memory::replicas), all);
    for (Level const level : {Level::warm, Level::cold}) {
      auto const at = static_cast<std::size_t>(level);
      if (pages[at] % static_cast<std::size_t>(codecs->tables()) != 0) continue;   // pages of all tables alike: then the stated ratio is exact
      looked[at] += pages[at];
      ASSERT_LE(static_cast<double>(payload[at] + pages[at] * shards::header_bytes), 1.02 * codecs->stated_ratio(level) * static_cast<double>(pages[at] * store.options().layout.bytes()));
    }
  }});
  EXPECT_GT(looked[0], 0u);
  EXPECT_GT(looked[1], 0u);
}

INSTANTIATE_TEST_SUITE_P(Codecs, CoolingPages, ::testing::Values("int8>int4@64", "bf16/int8>svd:32+int8/int4@48"), [](auto const& instance) {
  std::string name = instance.param;
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return name;
});

/// A warm page elsewhere that its home will order to be recoded in the next step.
TEST(CoolingPage, ThatRotsJustBeforeIsFoundAndItsStreamComputedAgain) {
  bool damaged = false;
  std::int64_t length = 0;
  auto options = cooling("int8>int4@64", 2);
  options.scrub = 0;
  Decoded const run = decode(options, one_long(), {.after_step = [&](comm::World const& world, runtime::StepRecord const&, shards::Store& store) {
    if (world.rank() == 0) length = static_cast<std::int64_t>(store.tokens_resident());
    for (std::int32_t i = 0; i < store.arena().end() && world.rank() == 1 && length > 260 && !damaged; ++i) {
      shards::Slot const slot{i};
      shards::IndexedPage const& page = store.owner().indexed(slot);
      auto const age = length + 1 - shards::first_position(page.key.block + 1, options.page_tokens);
      if (page.home < 0 || store.arena().size_class(slot) != 1 || age < 63 || age > 64) continue;   // rank 0's step may be over, or not
      store.arena().payload(slot)[100] ^= std::byte{4};
      damaged = true;
    }
  }});
  EXPECT_TRUE(damaged);
  EXPECT_EQ(run.counts.corrupt, 1u);
  EXPECT_EQ(run.counts.rewinds, 1u);
  EXPECT_EQ(run.results.at(0).error, "");
  EXPECT_EQ(run.results.at(0).tokens.size(), 40u);
}

TEST(CoolingPage, ThatIsLostIsComputedAgain) {
  bool taken = false;
  Decoded const run = decode(cooling("int8>int4@64", 2), one_long(), {.after_step = [&](comm::World const&, runtime::StepRecord const& row, shards::Store& store) {
    for (std::int32_t i = 0; i < store.arena().end() && row.step > 12 && !taken; ++i)
      if (shards::Slot const slot{i}; store.owner().indexed(slot).home >= 0 && store.arena().size_class(slot) == 2) {
        store.owner().evict(slot, row.step);
        taken = true;
      }
  }});
  EXPECT_EQ(run.counts.rewinds, 1u);
  EXPECT_EQ(run.results.at(0).tokens.size(), 40u);
}

TEST(CoolingPagesThatMove, ToOtherOwnersKeepTheirLevel) {
  Decoded const run = decode(cooling("bf16>int8@64", 3), one_long(),
                             {.rank_plan = R"([{"step": 8, "action": "drain", "rank": 1}, {"step": 20, "action": "join", "rank": 1}])"});
  EXPECT_GT(run.counts.pages_moved, 0u);
  EXPECT_EQ(run.counts.rewinds, 0u);
  EXPECT_EQ(run.counts.pages_recoded, alone("bf16>int8@64").counts.pages_recoded);
  EXPECT_GT(expect_same_tokens(alone("bf16>int8@64"), run, 5 * tolerance), 0u);   // those that were on their way are cold some steps later
}

/// What policies know of a page's errors, evictions of pages that are being recoded.
TEST(CoolingPagesUnderPolicies, GiveOneRanksTokens) {
  struct Case {
    char const* scheduler;
    char const* attention;
  };
  for (auto const& [scheduler, attention] : {Case{"streaming", "exact"}, Case{"h2o", "exact"}, Case{"none", "certified"}, Case{"none", "routed"}}) {
    auto const run_on = [&](int ranks) {
      auto options = cooling("int8>int4@16", ranks);
      options.scheduler = scheduler;
      options.keep = options.scheduler == "none" ? 1 : .3;
      options.pin_window = 16;
      options.attention = attention;
      options.max_error = options.attention == "certified" ? .02 : 0;
      options.read_pages = options.attention == "routed" ? 12 : 0;
      return decode(options, one_long(), {.logits = true});
    };
    Decoded const right = run_on(1);
    EXPECT_GT(right.counts.pages_recoded, 20u);
    if (std::string{scheduler} != "none") {
      EXPECT_GT(right.counts.pages_evicted, 20u);
    }
    for (int const ranks : {2, 3}) {
      Decoded const run = run_on(ranks);
      EXPECT_EQ(run.counts.rewinds, 0u);
      EXPECT_GT(expect_same_tokens(right, run, tolerance), 0u) << scheduler << " " << attention << " on " << ranks << " ranks";
    }
  }
}

TEST(CoolingPagesInATightBudget, RunOneRequestAfterTheOtherOrSayWhatWouldDo) {
  auto const model = runtime::Model::load(embedded_folder() / "tiny-moe", 0, 1);
  auto const requests = reference_prompts({"text-257", "text-257", "text-257", "text-64", "text-33"}, 24);
  for (int const ranks : {1, 2}) {
    auto options = cooling("int8>int4@64", ranks);
    auto const codecs = runtime::make_page_storage(options, model.config(), nullptr).codecs;
    auto const bytes = [&] {
      auto const sizing = runtime::size_store(options, model.config(), requests, ranks, ranks, std::uint64_t{1} << 30, 0, codecs.get());
      return sizing.arena_bytes + sizing.summary_bytes;
    };
    auto const all = bytes();
    double least = .3;
    for (; least < 1; least += .02)   // the least share of what they can use that one of them can run in
      try {
        options.kv_budget = static_cast<std::uint64_t>(least * static_cast<double>(all));
        EXPECT_LE(bytes(), options.kv_budget);
        break;
      } catch (InputError const& error) {
        EXPECT_NE(std::string{error.what()}.find("give --kv-budget"), std::string::npos);
      }
    EXPECT_LT(least, .9);
    Decoded const run = decode(options, requests);
    for (auto const& [index, result] : run.results) EXPECT_EQ(result.tokens.size(), 24u) << "request " << index << " on " << ranks << " ranks";
    EXPECT_EQ(run.counts.rewinds, 0u);
  }
}

TEST(CoolingPagesInACheckpoint, GoOnWarmAndColdOnAnotherNumberOfRanks) {
  Folder const folder;
  auto job = job_on(write_prompts(folder), "2");
  job["codec"] = {"int8", ""};
  job["cold-codec"] = {"int4", ""};
  job["cold-after"] = {"32", ""};
  ASSERT_EQ(run(options_with(job, 3, folder / "whole.jsonl")), 0);
  ASSERT_EQ(run(options_with(saved_to(job, folder / "saved", 12), 3, folder / "same.jsonl")), 0);
  EXPECT_EQ(tokens_in(folder / "same.jsonl"), tokens_in(folder / "whole.jsonl"));
  for (auto const& from : runtime::checkpoints_in(folder / "saved")) {
    std::set<std::uint64_t> sizes;
    runtime::CheckpointReader const checkpoint{from};
    for (auto const& page : checkpoint.pages()) sizes.insert(page.bytes);
    EXPECT_EQ(sizes.size(), 3u) << "uncompressed, warm and cold";
    for (int const ranks : {1, 2, 4}) {
      ASSERT_EQ(run(options_with({{"resume", {from.string(), ""}}}, ranks, folder / "on.jsonl")), 0) << ranks;
      EXPECT_EQ(tokens_in(folder / "on.jsonl"), tokens_in(folder / "whole.jsonl")) << ranks;
    }
    runtime::GivenOptions other{{"resume", {from.string(), ""}}, {"cold-after", {"64", "--cold-after=64"}}};
    EXPECT_THROW(run(options_with(other, 1, folder / "on.jsonl")), runtime::AgreedError) << "it decides the result";
  }
}

// More pages are warm in the checkpoint than a job of small chunks has room for: what it cannot read it computes.
TEST(CoolingPagesInACheckpoint, OfALargeChunkGoOnInSmallOnes) {
  Folder const folder;
  {
    std::string const text(900, 'a');
    std::ofstream{folder / "prompts.jsonl"} << nlohmann::json{{"id", "r"}, {"prompt", text}, {"max_new_tokens", 1}}.dump() << "\n";
  }
  auto job = job_on(folder / "prompts.jsonl", "1");
  job["codec"] = {"int8>int4@32", ""};
  job["prefill-chunk"] = {"300", ""};
  ASSERT_EQ(run(options_with(saved_to(job, folder / "saved", 1), 1, folder / "whole.jsonl")), 0);
  std::filesystem::path in_the_prompt;
  for (auto const& from : runtime::checkpoints_in(folder / "saved")) {
    std::map<std::uint64_t, std::size_t> pages;
    runtime::CheckpointReader const checkpoint{from};
    for (auto const& page : checkpoint.pages()) ++pages[page.bytes];
    if (pages.size() == 3 && std::next(pages.begin())->second > 4 * 25) in_the_prompt = from;   // cold ones, warm ones, the first block and the open one
  }
  ASSERT_FALSE(in_the_prompt.empty());
  ASSERT_EQ(run(options_with({{"resume", {in_the_prompt.string(), ""}}, {"prefill-chunk", {"8", ""}}}, 1, folder / "on.jsonl")), 0);
  EXPECT_EQ(tokens_in(folder / "on.jsonl").at("r").first.size(), 1u);
}

}  // namespace
}  // namespace pikv::test
