#include "tests/runtime/engine/agreement.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "runtime/prompts.hpp"
#include "tests/runtime/reference_data.hpp"

namespace pikv::test {

namespace {

float largest_magnitude(std::span<float const> row) {
  float largest = 0;
  for (float const value : row) largest = std::max(largest, std::fabs(value));
  return largest;
}

float top_gap(std::vector<float> row) {
  std::ranges::partial_sort(row, row.begin() + 2, std::greater{});
  return row[0] - row[1];
}

}   // namespace

double row_error(std::span<float const> row, std::span<float const> right) {
  double difference = row.size() == right.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < std::min(row.size(), right.size()); ++i)
    difference = std::max(difference, std::fabs(static_cast<double>(row[i]) - right[i]));
  return difference / largest_magnitude(right);
}

std::size_t certain_tokens(Rows const& logits, runtime::Result const& result, double tolerance) {
  for (std::size_t i = 0; i < result.tokens.size(); ++i) {
    auto const& row = logits.at({result.index, result.prompt_tokens - 1 + static_cast<std::int64_t>(i)});
    if (top_gap(row) < 4 * tolerance * largest_magnitude(row)) return i;
  }
  return result.tokens.size();
}

std::size_t expect_same_tokens(Decoded const& right, Decoded const& run, double tolerance) {
  EXPECT_EQ(run.results.size(), right.results.size());
  std::size_t compared = 0;
  for (auto const& [index, expected] : right.results) {
    SCOPED_TRACE("request " + std::to_string(index));
    auto const found = run.results.find(index);
    if (found == run.results.end()) {
      ADD_FAILURE() << "has no result";
      continue;
    }
    runtime::Result const& result = found->second;
    EXPECT_EQ(result.error, "");
    std::size_t const certain = certain_tokens(right.logits, expected, tolerance);
    auto const differ = std::ranges::mismatch(expected.tokens, result.tokens);
    EXPECT_GE(static_cast<std::size_t>(differ.in1 - expected.tokens.begin()), certain) << "of " << expected.tokens.size() << " tokens";
    compared += certain;
  }
  return compared;
}

std::vector<runtime::Request> reference_prompts() {
  auto const config = runtime::read_config(embedded_folder() / "tiny-moe");
  auto const tokenizer = runtime::make_tokenizer(embedded_folder() / "tiny-moe", config);
  return runtime::read_prompt_file((data_folder() / "tiny-moe" / "prompts.jsonl").string(), runtime::PromptFormat::jsonl,
                                   {config, tokenizer.get(), 96});
}

std::vector<runtime::Request> reference_prompts(std::vector<std::string> const& ids, std::int32_t max_new_tokens) {
  auto const all = reference_prompts();
  std::vector<runtime::Request> chosen;
  for (std::string const& id : ids) {
    chosen.push_back(*std::ranges::find(all, id, &runtime::Request::id));
    chosen.back().index = static_cast<std::int64_t>(chosen.size()) - 1;
    chosen.back().max_new_tokens = max_new_tokens;
  }
  return chosen;
}

}   // namespace pikv::test
