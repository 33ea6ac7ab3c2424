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

/// How many generated tokens of a run must be the right ones (design 7): those before the first whose top-2 gap is below
/// 4 * tolerance * the largest magnitude of its row of logits (tolerances of logits are relative to that magnitude, so gaps are too:
/// two rows, each wrong by `tolerance`, can swap ids that lie twice as far apart; 4 leaves as much again).
std::size_t certain_tokens(Rows const& logits, runtime::Result const& result, double tolerance);

/// Gtest failures where `run` lacks a request of `right`, ends it in an error, or has another token among the certain ones.
/// Returns how many tokens were compared. `right` has logits.
std::size_t expect_same_tokens(Decoded const& right, Decoded const& run, double tolerance);

/// Prompts of the embedded model that have reference values, as requests; index: place in the file.
std::vector<runtime::Request> reference_prompts();
/// Those of them with these ids, numbered anew, with that many new tokens.
std::vector<runtime::Request> reference_prompts(std::vector<std::string> const& ids, std::int32_t max_new_tokens);

}   // namespace pikv::test
