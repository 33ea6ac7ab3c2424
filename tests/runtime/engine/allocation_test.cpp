#include <gtest/gtest.h>

#include "tests/runtime/engine/agreement.hpp"
#include "tests/runtime/reference_data.hpp"
#include "tests/shards/allocations.hpp"

namespace pikv::test {
namespace {

using runtime::GenerateOptions;
using runtime::Request;
using runtime::StepRecord;

constexpr std::size_t most_steps = 4096;

/// Allocations of all ranks in each step of rank 0: from its begin to that of the next.
std::vector<std::size_t> allocations_by_step(GenerateOptions const& options, std::vector<Request> const& requests, Decoded& decoded) {
  std::vector<std::size_t> at_begin;
  at_begin.reserve(most_steps);
  decoded = decode(options, requests, {.before_step = [&](comm::World const& world, shards::Step) {
                                         if (world.rank() == 0) at_begin.push_back(allocations());
                                       }});
  std::vector<std::size_t> by_step;
  for (std::size_t i = 0; i + 1 < at_begin.size(); ++i) by_step.push_back(at_begin[i + 1] - at_begin[i]);
  return by_step;
}

bool only_decodes(Decoded const& decoded, std::size_t step) {
  for (auto const& steps : decoded.steps)
    if (step == 0 || steps[step].rows_prefill > 0 || steps[step].sequences != steps[step - 1].sequences) return false;
  return true;
}

class Allocations : public ::testing::TestWithParam<int> {};   // ranks

TEST_P(Allocations, NoneInAStepThatDecodesOnceWarm) {
  auto options = options_for(embedded_folder() / "tiny-moe", GetParam());
  options.page_tokens = 8;
  options.batch = 4;
  Decoded decoded;
  auto requests = reference_prompts({"text-17", "text-33", "text-64", "sample-0", "sample-1", "sample-2", "sample-4", "text-5"}, 90);
  auto const allocated = allocations_by_step(options, requests, decoded);
  std::size_t const warm = 40;   // pages were sealed, pushed and acknowledged on every rank by then
  std::size_t compared = 0;
  for (std::size_t step = warm; step < allocated.size() && step < 90; ++step) {
    if (!only_decodes(decoded, step)) continue;
    EXPECT_EQ(allocated[step], 0u) << "in step " << step << ", which sealed " << decoded.steps[0][step].pages_sealed;
    ++compared;
  }
  EXPECT_GE(compared, 20u);
}

INSTANTIATE_TEST_SUITE_P(Ranks, Allocations, ::testing::Values(1, 3));

}   // namespace
}   // namespace pikv::test
