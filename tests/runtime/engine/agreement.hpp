#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tests/runtime/engine/harness.hpp"

namespace pikv::test {

/// Largest difference / largest magnitude of the row that is right.
double row_error(std::span<float const> row, std::span<float const> right);

/// Gtest failures where `tokens` are others than the right ones (design 7): the first that differs may do so only where the top-2 gap of
/// its row of logits is below 4 * tolerance * the largest magnitude of that row (errors of logits are relative to that magnitude, so gaps
/// are too: two logits, each wrong by `tolerance`, can swap if they lie twice as far apart; 4 leaves as much again).
/// `logits` are of a run of the request of `result` that chose one or the other. Returns how many tokens are equal.
std::size_t expect_same_tokens(std::span<std::int32_t const> right, std::span<std::int32_t const> tokens, runtime::Result const& result,
                               Rows const& logits, double tolerance);

/// The same for all requests of a run; one that is missing or ended in an error is a failure. `right` has logits.
std::size_t expect_same_tokens(Decoded const& right, Decoded const& run, double tolerance);

/// Prompts of the embedded model that have reference values, as requests; index: place in the file.
std::vector<runtime::Request> reference_prompts();
/// Those of them with these ids, numbered anew, with that many new tokens.
std::vector<runtime::Request> reference_prompts(std::vector<std::string> const& ids, std::int32_t max_new_tokens);

}   // namespace pikv::test
