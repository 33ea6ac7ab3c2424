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
  for (std::size_t i = 0; i < std::min(row.size(), right.size()); ++i) {
    double const error = std::fabs(static_cast<double>(row[i]) - right[i]);
    if (!(error <= difference)) difference = error;   // also when it is not a number
  }
  return difference / largest_magnitude(right);
}

std::size_t expect_same_tokens(std::span<std::int32_t const> right, std::span<std::int32_t const> tokens, runtime::Result const& result,
                               Rows const& logits, double tolerance) {
  auto const equal = std::ranges::mismatch(right, tokens).in1 - right.begin();
  if (static_cast<std::size_t>(equal) == right.size() && right.size() == tokens.size()) return right.size();
  auto const row = logits.find({result.index, result.prompt_tokens - 1 + equal});
  bool const close = row != logits.end() && top_gap(row->second) < 4 * tolerance * largest_magnitude(row->second);
  EXPECT_TRUE(close) << "request " << result.index << " differs from its token " << equal << " of " << right.size() << " on";
  return static_cast<std::size_t>(equal);
}

std::size_t expect_same_tokens(Decoded const& right, Decoded const& run, double tolerance) {
  EXPECT_EQ(run.results.size(), right.results.size());
  std::size_t equal = 0;
  for (auto const& [index, expected] : right.results) {
    auto const found = run.results.find(index);
    if (found == run.results.end()) {
      ADD_FAILURE() << "request " << index << " has no result";
      continue;
    }
    EXPECT_EQ(found->second.error, "") << "request " << index;
    equal += expect_same_tokens(expected.tokens, found->second.tokens, expected, right.logits, tolerance);
  }
  return equal;
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
