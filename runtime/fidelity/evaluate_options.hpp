#pragma once

#include <span>
#include <string>
#include <vector>

#include "runtime/fidelity/task.hpp"
#include "runtime/given.hpp"
#include "runtime/options.hpp"

namespace pikv::runtime {

/// `pikv evaluate`: the cache options of generate, and what is measured with them.
struct EvaluateOptions {
  GenerateOptions cache;
  std::string text;                 // file; empty: the held-out text, where the model's tokenizer is supported here
  std::int32_t window = 2048;       // tokens, half of them context
  std::int32_t windows = 4;         // so many, from the beginning; 0: none
  NeedleOptions needles;
  std::string tasks;                // file of tasks made elsewhere
  std::string write_tasks;          // file: writes the needles as text, and measures nothing
};

std::vector<OptionSpec> evaluate_option_specs();
/// Throws InputError, as parse_generate_options does.
EvaluateOptions parse_evaluate_options(std::span<std::string const> args);
/// The same from options that were read before, whether or not each has an effect.
EvaluateOptions evaluate_options_from(GivenOptions given);

}  // namespace pikv::runtime
