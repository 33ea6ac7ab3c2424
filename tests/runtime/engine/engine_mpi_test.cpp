#include <gtest/gtest.h>

#include <algorithm>

#include "mpi_test_main.hpp"
#include "tests/runtime/engine/agreement.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

using kernels::DType;
using runtime::Request;

constexpr std::int32_t new_tokens = 48;   // of the 96 in the reference

/// Each rank sees the requests it is home of.
struct EngineOverMpi : ::testing::Test {
  void TearDown() override { world.barrier(world.in(60)); }   // a stuck rank stalls its own test, not the next

  Decoded expect_reference_tokens(runtime::GenerateOptions const& options, std::string const& pages, double tolerance,
                                  std::string const& rank_plan = "") {
    auto const requests = reference_prompts({"text-257", "text-64", "sample-1", "text-5"}, new_tokens);
    ReferenceData const reference{data_folder() / "tiny-moe" / "reference.safetensors"};
    Decoded decoded = decode_on(world, options, requests, {.logits = true, .rank_plan = rank_plan});
    for (Request const& request : requests) {
      bool const mine = request.index % world.size() == world.rank();
      EXPECT_EQ(decoded.results.contains(request.index), mine);
      if (!mine) continue;
      auto right = reference.ints(request.id + "/greedy_" + pages);
      right.resize(new_tokens);
      auto const& result = decoded.results.at(request.index);
      EXPECT_EQ(result.error, "");
      EXPECT_GT(expect_same_tokens(right, result.tokens, result, decoded.logits, tolerance), 0u);
    }
    return decoded;
  }
  comm::World& world = comm::test::mpi_world();
  std::filesystem::path const model = embedded_folder() / "tiny-moe";
};

TEST_F(EngineOverMpi, GivesTheTokensOfTransformersWhetherQueriesMoveOrPages) {
  for (auto const move : {shards::Move::query, shards::Move::page}) {
    auto options = options_for(model, world.size());
    options.page_tokens = 8;
    options.prefill_chunk = 64;
    options.move = move;
    expect_reference_tokens(options, "f32_pages", 1e-3);
  }
}

TEST_F(EngineOverMpi, GivesTheTokensOfTransformersWithBf16Pages) {
  auto options = options_for(model, world.size());
  options.kv_dtype = DType::bf16;
  options.batch = 1;
  options.page_tokens = 16;
  auto const decoded = expect_reference_tokens(options, "bf16_pages", 1e-2);
  if (world.size() > 1 && world.rank() == 0) {   // home of the longest prompt
    EXPECT_GT(decoded.counts.pages_remote, 0u);
  }
}

TEST_F(EngineOverMpi, GivesTheTokensOfTransformersWhileRanksLeaveAndJoin) {
  if (world.size() == 1) GTEST_SKIP() << "the only rank cannot leave";
  for (auto const move : {shards::Move::query, shards::Move::page}) {
    auto options = options_for(model, world.size());
    options.page_tokens = 8;
    options.prefill_chunk = 64;
    options.move = move;
    options.migration_bytes = 100000;
    auto const decoded = expect_reference_tokens(
        options, "f32_pages", 1e-3,
        R"([{"step": 8, "action": "drain", "rank": 0}, {"step": 25, "action": "join", "rank": 0}, {"step": 35, "action": "drain", "rank": 1}])");
    std::uint64_t moved = 0;
    for (comm::Bytes const& theirs : world.all_gather(std::as_bytes(std::span{&decoded.counts.pages_moved, 1}), world.in(60)))
      moved += *reinterpret_cast<std::uint64_t const*>(theirs.data());
    EXPECT_GT(moved, 20u);
  }
}

TEST_F(EngineOverMpi, MakesTheSameExchangesOnEveryRank) {
  auto const decoded = expect_reference_tokens(options_for(model, world.size()), "f32_pages", 1e-3);
  std::uint64_t mine = 0;
  for (auto const& step : decoded.steps[0]) mine += step.exchanges;
  for (comm::Bytes const& theirs : world.all_gather(std::as_bytes(std::span{&mine, 1}), world.in(60)))
    EXPECT_TRUE(std::ranges::equal(theirs, std::as_bytes(std::span{&mine, 1})));
  EXPECT_GT(mine, 17u * new_tokens);
}

}   // namespace
}   // namespace pikv::test
