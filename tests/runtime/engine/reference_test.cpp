#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "tests/runtime/engine/agreement.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

using kernels::DType;
using runtime::Request;

struct Pages {
  DType dtype;
  char const* name;
  double tolerance;
};

/// Rows of logits held against those of transformers; positions where the model's gate hardly decided are counted apart.
class Comparison {
 public:
  explicit Comparison(double tolerance) : tolerance_{tolerance} {}

  /// `right` [rows][vocab] follows the tokens from `first` on; `gate_margin` [rows].
  void add(Decoded const& run, std::int64_t index, std::int64_t first, std::vector<float> const& right, std::vector<float> const& gate_margin) {
    std::size_t const rows = gate_margin.size(), vocab = right.size() / rows;
    for (std::size_t i = 0; i < rows; ++i) {
      ++rows_;
      if (gate_margin[i] < 1e-3f) {
        ++excepted_;
        continue;
      }
      std::int64_t const position = first + static_cast<std::int64_t>(i);
      auto const found = run.logits.find({index, position});
      ASSERT_NE(found, run.logits.end()) << "no logits at position " << position;
      double const error = row_error(found->second, std::span{right}.subspan(i * vocab, vocab));
      EXPECT_LE(error, tolerance_) << "request " << index << ", position " << position;
      largest_ = std::max(largest_, error);
    }
  }

  void expect_few_excepted(std::string const& what) const {
    EXPECT_LE(static_cast<double>(excepted_), 0.02 * static_cast<double>(rows_));
    std::printf("%s: largest error %.1e of %.0e allowed, %zu of %zu rows excepted\n", what.c_str(), largest_, tolerance_, excepted_, rows_);
  }

 private:
  double tolerance_, largest_ = 0;
  std::size_t rows_ = 0, excepted_ = 0;
};

std::vector<Request> prompts_to_decode() {
  auto requests = reference_prompts();
  if (small_form()) std::erase_if(requests, [](Request const& request) { return request.prompt.size() > 300; });
  return requests;
}

class EmbeddedModel : public ::testing::TestWithParam<Pages> {
 protected:
  Decoded run() const {
    auto options = options_for(embedded_folder() / "tiny-moe", 1);
    options.kv_dtype = GetParam().dtype;
    return decode(options, requests, {.logits = true});
  }
  std::vector<Request> const requests = prompts_to_decode();
  ReferenceData const reference{data_folder() / "tiny-moe" / "reference.safetensors"};
};

TEST_P(EmbeddedModel, GivesTheLogitsAndGreedyTokensOfTransformers) {
  auto const decoded = run();
  std::string const pages = GetParam().name;
  Comparison comparison{GetParam().tolerance};
  std::size_t equal = 0, tokens = 0;
  for (Request const& request : requests) {
    SCOPED_TRACE(request.id);
    auto const margins = reference.floats(request.id + "/gate_margin");
    auto const first = static_cast<std::int64_t>(request.prompt.size() - margins.size());
    comparison.add(decoded, request.index, first, reference.floats(request.id + "/logits_" + pages), margins);

    auto const greedy = reference.ints(request.id + "/greedy_" + pages);
    auto const& result = decoded.results.at(request.index);
    equal += expect_same_tokens(greedy, result.tokens, result, decoded.logits, GetParam().tolerance);
    tokens += greedy.size();
  }
  comparison.expect_few_excepted("tiny-moe, " + pages);
  std::printf("tiny-moe, %s: %zu of %zu greedy tokens are equal\n", pages.c_str(), equal, tokens);
  EXPECT_GE(2 * equal, tokens) << "hardly anything was compared";
}

INSTANTIATE_TEST_SUITE_P(Pages, EmbeddedModel,
                         ::testing::Values(Pages{DType::f32, "f32_pages", 1e-3}, Pages{DType::bf16, "bf16_pages", 1e-2}),
                         [](auto const& instance) { return std::string{instance.param.name}; });

class OddModel : public ::testing::TestWithParam<std::tuple<char const*, int>> {};

TEST_P(OddModel, GivesTheLogitsOfTransformersOnEveryRank) {
  auto const& [name, ranks] = GetParam();
  auto const folder = data_folder() / name;
  ReferenceData const reference{folder / "reference.safetensors"};
  auto const ids = reference.ints("ids");
  auto const margins = reference.has("gate_margin") ? reference.floats("gate_margin") : std::vector<float>(ids.size(), 1.f);

  std::vector<Request> requests;   // one for each rank as its home
  for (std::int64_t index = 0; index < ranks; ++index) requests.push_back({.index = index, .prompt = ids, .max_new_tokens = 1});
  auto options = options_for(folder, ranks);
  options.page_tokens = 8;
  options.prefill_chunk = 13;
  auto const decoded = decode(options, requests, {.logits = true});
  Comparison comparison{1e-3};
  for (Request const& request : requests) comparison.add(decoded, request.index, 0, reference.floats("logits"), margins);
  comparison.expect_few_excepted(std::string{name} + " on " + std::to_string(ranks) + " ranks");
  EXPECT_EQ(decoded.counts.pages_remote > 0, ranks > 1);
}

INSTANTIATE_TEST_SUITE_P(Ranks, OddModel,
                         ::testing::Combine(::testing::Values("odd-mixtral", "odd-llama", "odd-qwen3-moe", "odd-qwen3", "odd-olmoe"),
                                            ::testing::Values(1, 2, 3, 4)));

}   // namespace
}   // namespace pikv::test
