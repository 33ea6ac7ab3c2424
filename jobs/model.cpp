#include "runtime/model/model.hpp"

#include <fmt/core.h>

#include <string>

#include "comm/error.hpp"
#include "jobs/command.hpp"
#include "runtime/model/tokenizer.hpp"

namespace pikv::jobs {
namespace {

/// Loads it whole, as a job of one rank would: whatever would stop the job stops here with the same sentence.
std::string describe(std::string const& dir) {
  auto const model = runtime::Model::load(dir, 0, 1);
  auto const& config = model.config();
  auto const kv_scalars = std::int64_t{2} * config.layers * config.kv_heads * config.head_dim;
  bool const reads_text = runtime::make_tokenizer(dir, config) != nullptr;
  std::string text;
  auto const line = [&](char const* name, auto const& value) { text += fmt::format("{:<22} {}\n", name, value); };
  line("architecture", config.architecture);
  line("parameters", model.parameters());
  line("dtype", kernels::name_of(model.embedding().dtype));
  line("layers", config.layers);
  line("hidden", config.hidden);
  line("query heads", config.q_heads);
  line("KV heads", config.kv_heads);
  line("head dim", config.head_dim);
  line("experts", config.experts);
  line("experts per token", config.experts_per_token);
  line("expert width", config.intermediate);
  if (config.equal_experts) line("stored experts", "1 a layer: all are equal");
  line("vocabulary", config.vocab);
  line("positions", config.max_positions);
  line("KV bytes per token", fmt::format("{} (bf16), {} (f32)", 2 * kv_scalars, 4 * kv_scalars));
  line("runs here", reads_text ? "yes" : fmt::format("yes, with prompt_ids only: its tokenizer is not supported ({})", runtime::why_no_tokenizer(dir)));
  return text;
}

}  // namespace

int model(Arguments args) {
  return run_on_rank_0([&] {
    if (args.size() != 1) throw InputError(fmt::format("`pikv model` takes one folder, not {} words; write pikv model DIR", args.size()));
    fmt::print("{}", describe(args[0]));
  });
}

std::string model_help() {
  return "Usage: pikv model DIR\n\n"
         "Reads the checkpoint in DIR whole and prints its architecture, shape, parameters and KV bytes per token. A model that cannot run\n"
         "here ends with the reason and code 2.\n";
}

}  // namespace pikv::jobs
