#include <gtest/gtest.h>

#include "tests/runtime/engine/agreement.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

using runtime::GenerateOptions;
using runtime::Request;

std::vector<Request> prompts() { return reference_prompts({"sample-0", "sample-1", "sample-2", "sample-3", "sample-4"}, small_form() ? 12 : 48); }

GenerateOptions sampling_on(int ranks, std::uint64_t seed = 17) {
  auto options = options_for(embedded_folder() / "tiny-moe", ranks);
  options.page_tokens = 8;
  options.sampling = {.temperature = 0.7f, .top_k = 40, .top_p = 0.9f, .seed = seed};
  return options;
}

std::vector<std::vector<std::int32_t>> tokens(GenerateOptions const& options) {
  auto const requests = prompts();
  std::vector<std::vector<std::int32_t>> tokens;
  for (auto& [index, result] : decode(options, requests).results) tokens.push_back(result.tokens);
  return tokens;
}

// Pages are f32 and the seed is fixed: a draw would have to fall within 1e-5 of a boundary for ranks to differ.
TEST(Sampling, GivesTheSameTextOnAnyNumberOfRanksWithAnyBatchAndChunk) {
  auto const right = tokens(sampling_on(1));
  for (int const ranks : {1, 3})
    for (auto const& [batch, chunk] : {std::pair{1, 256}, std::pair{7, 5}}) {
      auto options = sampling_on(ranks);
      options.batch = batch;
      options.prefill_chunk = chunk;
      EXPECT_EQ(tokens(options), right) << ranks << " ranks, batch " << batch << ", chunk " << chunk;
    }
}

TEST(Sampling, GivesAnotherTextForAnotherSeed) {
  auto const texts = tokens(sampling_on(2, 17)), others = tokens(sampling_on(2, 18));
  for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_NE(texts[i], others[i]);
}

TEST(Sampling, IsGreedyWithTopKOfOne) {
  auto warm = sampling_on(2), greedy = sampling_on(2);
  warm.sampling.top_k = 1;
  greedy.sampling = {};
  EXPECT_EQ(tokens(warm), tokens(greedy));
}

}   // namespace
}   // namespace pikv::test
