#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/given.hpp"
#include "runtime/options.hpp"

namespace pikv::runtime {

/// `pikv calibrate`.
struct CalibrateOptions {
  GenerateOptions cache;         // of the run that gathers: model, ranks, batch
  std::string text;              // file; empty: the held-out text
  std::string output;
  std::int64_t tokens = 32768;   // at most, those held out included
  std::int32_t window = 512;     // tokens of a sequence
  std::optional<std::vector<std::int32_t>> distill;   // ranks, multiples of 8; none given: a quarter and half of head_dim, rounded up to one
};

std::vector<OptionSpec> calibrate_option_specs();
/// Throws InputError, as parse_generate_options does.
CalibrateOptions parse_calibrate_options(std::span<std::string const> args);

}   // namespace pikv::runtime
