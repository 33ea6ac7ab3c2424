// Whole steps on a device (device_under_test.hpp). Logits are held against those of transformers, as in reference_test.cpp,
// and against the host's.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>
#include <tuple>

#include "runtime/checkpoint/files.hpp"
#include "tests/device_under_test.hpp"
#include "tests/runtime/engine/agreement.hpp"
#include "tests/runtime/engine/saved_jobs.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

using runtime::GenerateOptions;
using runtime::Request;
using shards::Move;

constexpr double tolerance = 1e-3;

Decoded decode_on_device(GenerateOptions const& options, std::vector<Request> const& requests, Watch watch = {.logits = true}) {
  watch.memory = &device_memory();
  watch.device = kernels::cuda::make_device;
  return decode(options, requests, watch);
}

GenerateOptions options_of(std::string const& model, int ranks) {
  auto options = options_for(data_folder() / model, ranks);
  options.page_tokens = 8;
  options.prefill_chunk = 13;
  return options;
}

std::vector<std::int32_t> ids_of(std::string const& model) { return ReferenceData{data_folder() / model / "reference.safetensors"}.ints("ids"); }

/// One for each rank as its home; the prompt is the first tokens of the model's reference.
std::vector<Request> requests_for(std::string const& model, int ranks, std::size_t tokens, std::int32_t new_tokens) {
  auto const ids = ids_of(model);
  std::vector<Request> requests;
  for (std::int64_t index = 0; index < ranks; ++index)
    requests.push_back({.index = index, .prompt = {ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(tokens)}, .max_new_tokens = new_tokens});
  return requests;
}

double worst_row(Decoded const& right, Decoded const& run) {
  EXPECT_EQ(run.logits.size(), right.logits.size());
  double worst = 0;
  for (auto const& [place, row] : right.logits) worst = std::max(worst, row_error(run.logits.at(place), row));
  return worst;
}

class OnDevice : public ::testing::TestWithParam<std::tuple<char const*, int>> {};

TEST_P(OnDevice, AModelGivesTheLogitsOfTransformers) {
  auto const& [name, ranks] = GetParam();
  ReferenceData const reference{data_folder() / name / "reference.safetensors"};
  auto const ids = reference.ints("ids");
  auto const wanted = reference.floats("logits");
  auto const decoded = decode_on_device(options_of(name, ranks), requests_for(name, ranks, ids.size(), 1));
  std::size_t const vocab = wanted.size() / ids.size();
  double worst = 0;
  for (std::int64_t index = 0; index < ranks; ++index)
    for (std::size_t position = 0; position < ids.size(); ++position)
      worst = std::max(worst, row_error(decoded.logits.at({index, static_cast<std::int64_t>(position)}), std::span{wanted}.subspan(position * vocab, vocab)));
  EXPECT_LT(worst, tolerance);
  EXPECT_EQ(decoded.counts.pages_remote > 0, ranks > 1);
}

INSTANTIATE_TEST_SUITE_P(Ranks, OnDevice, ::testing::Values(std::tuple{"odd-mixtral", 2}, std::tuple{"odd-llama", 1}, std::tuple{"odd-qwen3-moe", 1}));

class DecodeOnDevice : public ::testing::TestWithParam<std::tuple<char const*, int, Move>> {};

TEST_P(DecodeOnDevice, GivesTheTokensOfTheHost) {
  auto const& [codec, ranks, move] = GetParam();
  auto options = options_of("odd-mixtral", ranks);
  options.codec_k = options.codec_v = codec;
  options.move = move;
  auto const requests = requests_for("odd-mixtral", ranks, 25, 16);
  auto const right = decode(options, requests, {.logits = true}), run = decode_on_device(options, requests);
  EXPECT_LT(worst_row(right, run), tolerance);
  EXPECT_EQ(expect_same_tokens(right, run, tolerance), static_cast<std::size_t>(16 * ranks));
  EXPECT_EQ(run.counts.pages_fetched, right.counts.pages_fetched);
  EXPECT_EQ(run.counts.pages_remote > 0, ranks > 1);
  EXPECT_EQ(run.counts.rewinds, 0u);
}

INSTANTIATE_TEST_SUITE_P(Codecs, DecodeOnDevice,
                         ::testing::Values(std::tuple{"none", 1, Move::query}, std::tuple{"none", 2, Move::query}, std::tuple{"none", 2, Move::page},
                                           std::tuple{"int8", 2, Move::query}, std::tuple{"int4", 2, Move::page}));

// What policies look at on the processor comes from the device: queries, log-sum-exps, full pages; rows of several page tables are put in order.
struct Policy {
  char const* name;
  std::uint64_t shards::Counts::* happens;   // more or less often than in exact attention
  void (*set)(GenerateOptions&);
};
void PrintTo(Policy const& policy, std::ostream* to) { *to << policy.name; }

class PolicyOnDevice : public ::testing::TestWithParam<Policy> {};

TEST_P(PolicyOnDevice, GivesTheLogitsOfTheHost) {
  auto options = options_of("odd-mixtral", 2);
  options.page_tokens = 2;   // bounds of more keys let certified attention skip none of so few
  options.pin_window = 8;
  auto const requests = requests_for("odd-mixtral", 2, 40, 6);
  auto const exact = decode(options, requests);
  GetParam().set(options);
  auto const right = decode(options, requests, {.logits = true}), run = decode_on_device(options, requests);
  EXPECT_LT(worst_row(right, run), tolerance);
  EXPECT_NE(right.counts.*GetParam().happens, exact.counts.*GetParam().happens);
  EXPECT_EQ(run.counts.page_reads, right.counts.page_reads);
  EXPECT_EQ(run.counts.cells_evicted, right.counts.cells_evicted);
  EXPECT_EQ(run.counts.tier_reads, right.counts.tier_reads);
  EXPECT_EQ(run.counts.rewinds, 0u);
}

void keep_some_of_each_head(GenerateOptions& options) {
  options.scheduler = "adakv";
  options.keep = .6;
}
void certify(GenerateOptions& options) {
  options.attention = "certified";
  options.max_error = .5;
}
void route(GenerateOptions& options) {
  options.attention = "routed";
  options.router = "topk";
  options.home = "content";
  options.kv_experts = 8;
  options.experts = 2;
}
void use_tiers(GenerateOptions& options) {
  options.scheduler = "flexgen";
  options.keep = .4;
  options.store = runtime::StoreMode::local;
}

INSTANTIATE_TEST_SUITE_P(Policies, PolicyOnDevice,
                         ::testing::Values(Policy{"adakv", &shards::Counts::cells_evicted, keep_some_of_each_head}, Policy{"certified", &shards::Counts::page_reads, certify},
                                           Policy{"routed", &shards::Counts::page_reads, route}, Policy{"flexgen", &shards::Counts::tier_reads, use_tiers}),
                         [](auto const& instance) { return std::string{instance.param.name}; });

/// The fewest waits for the device in a step of rank 0 that decodes and seals nothing.
std::uint64_t waits_of_a_step(std::string const& model, int ranks) {
  std::uint64_t fewest = std::numeric_limits<std::uint64_t>::max(), before = 0;
  Watch watch;
  watch.after_step = [&](comm::World const& world, runtime::StepRecord const& row, shards::Store& store) {
    if (world.rank() != 0) return;
    std::uint64_t const waits = store.arena().device().waits();
    if (row.rows_decode > 0) fewest = std::min(fewest, waits - before);
    before = waits;
  };
  auto options = options_of(model, ranks);
  options.scrub = 0;   // which waits for each page that it looks at
  auto const run = decode_on_device(options, requests_for(model, ranks, 25, 16), watch);
  EXPECT_EQ(run.counts.pages_remote > 0, ranks > 1);
  return fewest;
}

std::uint64_t layers_of(std::string const& model) { return static_cast<std::uint64_t>(runtime::read_config(data_folder() / model).layers); }

// For what the gate chose in each layer, for the logits, and before the control exchange for what may still read slots that are free.
TEST(WaitsOnDevice, OneRankWaitsOnceALayer) { EXPECT_EQ(waits_of_a_step("odd-mixtral", 1), layers_of("odd-mixtral") + 2); }
TEST(WaitsOnDevice, WithoutAGateNoLayerIsWaitedFor) { EXPECT_EQ(waits_of_a_step("odd-llama", 1), 2u); }
// And for queries and rows to send, and for answers and outputs to send back.
TEST(WaitsOnDevice, SeveralRanksWaitForWhatTheySend) { EXPECT_LE(waits_of_a_step("odd-mixtral", 2), 5 * layers_of("odd-mixtral") + 2); }

int devices_made = 0;
std::unique_ptr<kernels::Device> make_counted() {
  ++devices_made;
  return kernels::cuda::make_device();
}

// Through the whole job: which finds the devices, writes checkpoints of what lies there, and goes on from one.
TEST(JobOnDevice, GoesOnFromACheckpointWithTheSameTokens) {
  Folder folder;
  auto const ids = ids_of("odd-mixtral");
  std::ofstream prompts{folder / "prompts.jsonl"};
  for (std::ptrdiff_t const tokens : {21, 9})
    prompts << nlohmann::json{{"id", std::to_string(tokens)}, {"prompt_ids", std::vector(ids.begin(), ids.begin() + tokens)}, {"max_new_tokens", 12}} << "\n";
  prompts.close();
  runtime::GivenOptions job = job_on(folder / "prompts.jsonl", "2");
  job["kv-dtype"] = {"f32", ""};
  job["model"] = {(data_folder() / "odd-mixtral").string(), ""};
  ASSERT_EQ(run(options_with(job, 2, folder / "host.jsonl")), 0);
  ASSERT_EQ(run(options_with(saved_to(job, folder / "saved", 8), 2, folder / "device.jsonl"), make_counted, &device_memory()), 0);
  EXPECT_EQ(devices_made, 2);
  EXPECT_EQ(tokens_in(folder / "device.jsonl"), tokens_in(folder / "host.jsonl"));
  runtime::GivenOptions resumed{{"resume", {runtime::checkpoints_in(folder / "saved").back().string(), ""}}};
  ASSERT_EQ(run(options_with(resumed, 2, folder / "resumed.jsonl"), make_counted, &device_memory()), 0);
  EXPECT_EQ(devices_made, 4);
  EXPECT_EQ(tokens_in(folder / "resumed.jsonl"), tokens_in(folder / "host.jsonl"));
}

}  // namespace
}  // namespace pikv::test
