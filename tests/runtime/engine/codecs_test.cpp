// Whole engines whose sealed pages are coded: the same tokens however pages travel, and bytes that are really not there.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "comm/faults.hpp"
#include "comm/inprocess_world.hpp"
#include "runtime/model/model.hpp"
#include "runtime/page_storage.hpp"
#include "tests/runtime/engine/agreement.hpp"
#include "tests/runtime/engine/embedded_calibration.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

using runtime::GenerateOptions;
using runtime::Request;
using shards::Memory;
using shards::Move;

GenerateOptions coded(std::string const& codec, int ranks) {
  auto options = options_for(embedded_folder() / "tiny-moe", ranks);
  options.page_tokens = 8;
  options.prefill_chunk = 64;
  options.batch = 3;
  auto const slash = codec.find('/');
  options.codec_k = codec.substr(0, slash);
  options.codec_v = slash == std::string::npos ? codec : codec.substr(slash + 1);
  return options;
}

std::vector<Request> prompts() { return reference_prompts({"text-257", "text-33", "text-64", "text-5"}, 24); }

/// One rank's tokens and logits.
Decoded const& alone(std::string const& codec) {
  static std::map<std::string, Decoded> kept;
  auto const [entry, missing] = kept.try_emplace(codec);
  if (missing) entry->second = decode(coded(codec, 1), prompts(), {.logits = true, .calibration = &embedded_calibration()});
  return entry->second;
}

constexpr double tolerance = 1e-3;   // of logits between ways to the same coded pages

class CodedPages : public ::testing::TestWithParam<std::string> {};

TEST_P(CodedPages, GiveOneRanksTokensWhereverTheyLieAndHoweverTheyAreRead) {
  Decoded const& right = alone(GetParam());
  for (int const ranks : {2, 3})
    for (Move const move : {Move::query, Move::page}) {
      auto options = coded(GetParam(), ranks);
      options.move = move;
      Decoded const run = decode(options, prompts(), {.calibration = &embedded_calibration()});
      EXPECT_GT(run.counts.pages_remote, 0u);
      EXPECT_EQ(run.counts.rewinds, 0u);
      EXPECT_GT(expect_same_tokens(right, run, tolerance), 0u) << ranks << " ranks";
    }
}

TEST_P(CodedPages, UnderFaultsTokensAreRightOrTheRequestEndsWithAnError) {
  Decoded const& right = alone(GetParam());
  comm::FaultPlan plan;
  plan.drop = plan.flip = plan.truncate = .04;
  plan.delay = plan.duplicate = plan.reorder = .03;
  std::uint64_t faults = 0;
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    plan.seed = seed;
    auto options = coded(GetParam(), 3);
    options.move = seed == 1 ? Move::query : Move::page;
    comm::run_inprocess({.ranks = 3, .seed = seed}, [&](comm::World& world) {
      auto const faulty = comm::make_faulty_world(world, plan);
      Decoded const part = decode_on(*faulty, options, prompts(), {.calibration = &embedded_calibration()});
      for (auto const& [index, result] : part.results)
        if (result.finish != runtime::Finish::error) expect_same_tokens(right.results.at(index).tokens, result.tokens, result, right.logits, tolerance);
      faults += faulty->fault_counts().total();
    });
  }
  EXPECT_GT(faults, 30u);
}

TEST_P(CodedPages, ThatAreLostAreComputedAgain) {
  bool taken = false;
  Decoded const run = decode(coded(GetParam(), 2), prompts(), {.calibration = &embedded_calibration(), .after_step = [&](comm::World const&, runtime::StepRecord const& row, shards::Store& store) {
    for (std::int32_t i = 0; i < store.arena().end() && row.step > 8 && !taken; ++i)
      if (shards::Slot const slot{i}; store.owner().indexed(slot).home >= 0) {
        store.owner().evict(slot, row.step);
        taken = true;
      }
  }});
  EXPECT_EQ(run.counts.rewinds, 1u);
  EXPECT_GT(expect_same_tokens(alone(GetParam()), run, tolerance), 0u);
}

TEST_P(CodedPages, MoveToOtherOwners) {
  Decoded const run = decode(coded(GetParam(), 3), prompts(),
                             {.calibration = &embedded_calibration(), .rank_plan = R"([{"step": 8, "action": "drain", "rank": 1}, {"step": 16, "action": "join", "rank": 1}])"});
  EXPECT_GT(run.counts.pages_moved, 0u);
  EXPECT_GT(expect_same_tokens(alone(GetParam()), run, tolerance), 0u);
}

/// All but the first block, whose pages stay as they are, and the one that is being filled.
TEST_P(CodedPages, TakeTheBytesThatAreStatedAndNoMore) {
  auto options = coded(GetParam(), 2);
  auto const model = runtime::Model::load(options.model, 0, 1);
  auto const codecs = runtime::make_page_storage(options, model.config(), &embedded_calibration()).codecs;
  std::size_t looked = 0;
  decode(options, prompts(), {.calibration = &embedded_calibration(), .after_step = [&](comm::World const&, runtime::StepRecord const&, shards::Store& store) {
    shards::Arena& arena = store.arena();
    std::size_t payload = 0, headers = 0, coded_payload = 0, coded_pages = 0;
    for (std::int32_t i = 0; i < arena.end(); ++i) {
      shards::Slot const slot{i};
      if (!arena.is_slot(slot) || !arena.booked(slot)) continue;
      bool const is_coded = arena.size_class(slot) > 0;
      std::size_t const bytes = is_coded ? arena.header(slot).payload_bytes : store.options().layout.bytes();
      payload += bytes;
      headers += shards::header_bytes;
      coded_payload += is_coded ? bytes : 0;
      coded_pages += is_coded ? 1 : 0;
    }
    ASSERT_EQ(store.memory().bytes(Memory::payload) + store.memory().bytes(Memory::header) + store.memory().bytes(Memory::replicas), payload + headers);
    looked += coded_pages;
    if (coded_pages % static_cast<std::size_t>(codecs->tables()) != 0) return;   // pages of all tables alike: then the stated ratio is exact
    double const uncompressed = static_cast<double>(coded_pages * store.options().layout.bytes());
    ASSERT_LE(static_cast<double>(coded_payload + coded_pages * shards::header_bytes), 1.02 * codecs->stated_ratio() * uncompressed);
  }});
  EXPECT_GT(looked, 0u);
}

INSTANTIATE_TEST_SUITE_P(Codecs, CodedPages,
                         ::testing::ValuesIn(in_small_form_only({"bf16", "int8", "int4", "fp8", "svd:48", "lora", "lora_plus:40", "prune", "svd:48+int8", "int8/svd:32+int4", "none/int4", "int3", "int4/rotate+int3", "mixed:3.5/rotate+mixed:3.5", "svd:56+mixed:4/mixed:3"},
                                                                {"fp8", "int4", "prune", "svd:48+int8", "int8/svd:32+int4", "int4/rotate+int3", "mixed:3.5/rotate+mixed:3.5"})),
                         [](auto const& instance) {
                           std::string name = instance.param;
                           for (char& c : name)
                             if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
                           return name;
                         });

TEST(CodedPagesOfBigBlocks, WithABasisOfTheirOwnGiveOneRanksTokens) {
  auto const requests = reference_prompts({"text-1000"}, 8);
  auto options = options_for(embedded_folder() / "tiny-moe", 1);
  options.page_tokens = 256;
  options.codec = "chunk_pca:32+int8";
  Decoded const right = decode(options, requests, {.logits = true});
  options.in_process = 2;
  EXPECT_GT(expect_same_tokens(right, decode(options, requests), tolerance), 0u);
}

TEST(CodedPagesAndTheirWindow, NewestBlocksStayAsTheyAre) {
  auto options = coded("int4", 1);
  options.exact_window = 24;
  std::size_t looked = 0;
  decode(options, reference_prompts({"text-257"}, 8), {.after_step = [&](comm::World const&, runtime::StepRecord const& row, shards::Store& store) {
    std::size_t exact = 0;
    for (std::int32_t i = 0; i < store.arena().end(); ++i)
      if (shards::Slot const slot{i}; store.arena().is_slot(slot) && store.arena().booked(slot) && store.arena().size_class(slot) == 0) ++exact;
    if (store.tokens_resident() < 64) return;   // it has ended, too
    std::size_t const open = store.tokens_resident() % 8 == 0 ? 0 : 1;
    EXPECT_EQ(exact, 4 * (1 + 3 + open)) << "step " << row.step;   // four layers: the first block, three in the window, the open one
    ++looked;
  }});
  EXPECT_GT(looked, 0u);
}

TEST(CodedPagesThatFitABudget, LoseLessWithMore) {
  auto options = coded("int8", 1);
  options.codec_k = options.codec_v = "";
  options.codec = "auto";
  runtime::ModelConfig const config = runtime::Model::load(options.model, 0, 1).config();
  double before = 0;
  for (double const share : {.2, .3, .4, .5}) {   // of f32 pages
    auto const codecs = runtime::choose_page_storage(options, config, embedded_calibration(), [&](shards::PageCodecs const& some) { return some.stated_ratio() <= share + .04; }).codecs;
    EXPECT_LE(codecs->stated_ratio(), share + .04);
    EXPECT_GT(codecs->stated_ratio(), before);
    before = codecs->stated_ratio();
  }
}

}  // namespace
}  // namespace pikv::test
