#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "tests/runtime/engine/harness.hpp"
#include "tests/runtime/model/model_files.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {
namespace {

// Largest differences between correct computations in fp32 are a fifth of these.
constexpr double logit_tolerance = 1e-3, mean_nll_tolerance = 1e-5;

/// PIKV_FETCHED_MODELS, or build/models of the source tree, where jobs/fetch_model.py puts them.
std::filesystem::path model_folder(std::string const& name) {
  char const* const given = std::getenv("PIKV_FETCHED_MODELS");
  return std::filesystem::path{given ? given : PIKV_MODELS_FOLDER} / name;
}

double log_sum_exp(std::vector<float> const& row) {
  double const top = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (float const logit : row) sum += std::exp(static_cast<double>(logit) - top);
  return top + std::log(sum);
}

struct Case {
  char const* model;
  int ranks;
  char const* prompt;
};

class RealModel : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    auto const original = model_folder(GetParam().model);
    if (!std::filesystem::exists(original / "config.json")) {
      std::string const why = "no model in " + original.string() + "; jobs/fetch_model.py makes it, or set PIKV_FETCHED_MODELS to its parent";
      std::cout << "skipped: " << why << "\n";
      GTEST_SKIP() << why;
    }
    auto config = nlohmann::json::parse(read_file(original / "config.json"));
    config.erase("eos_token_id");   // the reference goes on past it
    write_file(folder_.path() / "config.json", config.dump());
    std::filesystem::create_symlink(std::filesystem::absolute(original / "model.safetensors"), folder_.path() / "model.safetensors");
  }

  ReferenceData const reference_{data_folder() / "smollm2/reference.safetensors"};
  std::string const prompt_ = std::string{GetParam().prompt} + "/";
  ScratchFolder folder_;
};

TEST_P(RealModel, GivesTheLogitsLossAndGreedyTokensOfTransformers) {
  auto const ids = reference_.ints(prompt_ + "ids"), greedy = reference_.ints(prompt_ + "greedy");
  std::vector<runtime::Request> const requests{{.index = 0, .prompt = ids, .max_new_tokens = static_cast<std::int32_t>(greedy.size())}};
  auto const run = decode(options_for(folder_.path(), GetParam().ranks), requests, {.logits = true});
  EXPECT_EQ(run.results.at(0).tokens, greedy);

  auto const positions = reference_.ints(prompt_ + "positions"), top_ids = reference_.ints(prompt_ + "top_ids");
  auto const top_logits = reference_.floats(prompt_ + "top_logits"), sums = reference_.floats(prompt_ + "logsumexp");
  std::size_t const top = top_ids.size() / positions.size();
  double largest = 0;
  for (std::size_t i = 0; i < positions.size(); ++i) {
    auto const& row = run.logits.at({0, positions[i]});
    for (std::size_t j = i * top; j < (i + 1) * top; ++j)
      largest = std::max(largest, std::abs(static_cast<double>(row[static_cast<std::size_t>(top_ids[j])] - top_logits[j])));
    EXPECT_NEAR(log_sum_exp(row), sums[i], logit_tolerance) << "position " << positions[i];
  }
  EXPECT_LE(largest, logit_tolerance);

  auto const right = reference_.floats(prompt_ + "nll");
  double sum = 0;
  for (std::size_t i = 0; i < right.size(); ++i) {
    auto const& row = run.logits.at({0, static_cast<std::int64_t>(i)});
    double const nll = log_sum_exp(row) - static_cast<double>(row[static_cast<std::size_t>(ids[i + 1])]);
    EXPECT_NEAR(nll, right[i], logit_tolerance) << "position " << i;
    sum += nll;
  }
  double const mean = sum / static_cast<double>(right.size()), off = mean - static_cast<double>(reference_.floats(prompt_ + "mean_nll")[0]);
  EXPECT_LE(std::abs(off), mean_nll_tolerance);
  std::printf("%s: logits within %.1e, mean nll %.6f, off by %.1e\n", GetParam().prompt, largest, mean, off);
}

std::vector<Case> cases(char const* model, int ranks) {
  std::vector<Case> made;
  for (char const* prompt : {"p20", "p200", "p1500", "chat"}) made.push_back({model, ranks, prompt});
  return made;
}
std::string name_of(::testing::TestParamInfo<Case> const& instance) { return instance.param.prompt; }

INSTANTIATE_TEST_SUITE_P(Dense, RealModel, ::testing::ValuesIn(cases("smollm2", 1)), name_of);
INSTANTIATE_TEST_SUITE_P(DenseOnTwoRanks, RealModel, ::testing::ValuesIn(cases("smollm2", 2)), name_of);
INSTANTIATE_TEST_SUITE_P(Upcycled, RealModel, ::testing::ValuesIn(cases("smollm2-moe8", 1)), name_of);
INSTANTIATE_TEST_SUITE_P(UpcycledOnThreeRanks, RealModel, ::testing::ValuesIn(cases("smollm2-moe8", 3)), name_of);

}   // namespace
}   // namespace pikv::test
