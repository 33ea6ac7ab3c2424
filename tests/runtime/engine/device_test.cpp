// Whole steps on a device: the emulated GPU, whose memory no processor can touch. Logits are held against those of transformers, as in reference_test.cpp,
// and against the host's.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <tuple>

#include "tests/emulated_device.hpp"
#include "tests/runtime/engine/agreement.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

using runtime::GenerateOptions;
using runtime::Request;
using shards::Move;

constexpr double tolerance = 1e-3;

Decoded decode_on_device(GenerateOptions const& options, std::vector<Request> const& requests, Watch watch = {.logits = true}) {
  EmulatedMemory memory;
  watch.memory = &memory;
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

INSTANTIATE_TEST_SUITE_P(Ranks, OnDevice, ::testing::Combine(::testing::Values("odd-mixtral", "odd-llama", "odd-qwen3-moe"), ::testing::Values(1, 2)));

class DecodeOnDevice : public ::testing::TestWithParam<std::tuple<char const*, int, Move>> {};

TEST_P(DecodeOnDevice, GivesTheTokensOfTheHost) {
  auto const& [codec, ranks, move] = GetParam();
  auto options = options_of("odd-mixtral", ranks);
  options.codec_k = options.codec_v = codec;
  options.move = move;
  auto const requests = requests_for("odd-mixtral", ranks, 25, 20);
  auto const right = decode(options, requests, {.logits = true}), run = decode_on_device(options, requests);
  EXPECT_LT(worst_row(right, run), tolerance);
  EXPECT_EQ(expect_same_tokens(right, run, tolerance), static_cast<std::size_t>(20 * ranks));
  EXPECT_EQ(run.counts.pages_fetched, right.counts.pages_fetched);
  EXPECT_EQ(run.counts.pages_remote > 0, ranks > 1);
  EXPECT_EQ(run.counts.rewinds, 0u);
}

INSTANTIATE_TEST_SUITE_P(Codecs, DecodeOnDevice,
                         ::testing::Values(std::tuple{"none", 1, Move::query}, std::tuple{"none", 2, Move::query}, std::tuple{"none", 2, Move::page},
                                           std::tuple{"int8", 2, Move::query}, std::tuple{"int4", 2, Move::page}));

}  // namespace
}  // namespace pikv::test
