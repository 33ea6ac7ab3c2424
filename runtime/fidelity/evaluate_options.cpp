#include "runtime/fidelity/evaluate_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "comm/error.hpp"
#include "runtime/units.hpp"

namespace pikv::runtime {

namespace {

std::string file(Given const& given) {
  if (given.value.empty()) throw InputError(fmt::format("{} names no file; give a path", given.said));
  return given.value;
}

std::vector<double> depths(Given const& given) {
  std::vector<double> depths;
  std::string_view list = given.value;
  while (true) {
    auto const end = std::min(list.find(','), list.size());
    depths.push_back(real_number({std::string{list.substr(0, end)}, given.said}, 0, 1));
    if (end == list.size()) return depths;
    list.remove_prefix(end + 1);
  }
}

struct Row {
  OptionSpec spec;
  void (*set)(EvaluateOptions&, Given const&);
};

std::vector<Row> const rows{
    {{"text", "FILE", "the held-out text", "measured: its loss, window by window; text, or JSON lines with prompt_ids, one after the other, as jobs/tokenize.py makes them"}, [](EvaluateOptions& o, Given const& g) { o.text = file(g); }},
    {{"window", "TOKENS", "2048", "of a window of text: half is read as a prompt, the other half token by token"},
     [](EvaluateOptions& o, Given const& g) { o.window = static_cast<std::int32_t>(whole_number(g, 4, 1 << 24)); }},
    {{"windows", "N", "4", "of the text, from its beginning; 0: none"},
     [](EvaluateOptions& o, Given const& g) { o.windows = static_cast<std::int32_t>(whole_number(g, 0, 1 << 24)); }},
    {{"needles", "N", "0", "facts hidden in the text, a question for each: one fact, one of eight, a chain of three"},
     [](EvaluateOptions& o, Given const& g) { o.needles.count = static_cast<std::int32_t>(whole_number(g, 0, 1 << 24)); }},
    {{"needle-length", "TOKENS", "1024", "of the text that a needle is hidden in; bytes with --write-tasks"},
     [](EvaluateOptions& o, Given const& g) { o.needles.length = static_cast<std::int32_t>(whole_number(g, 16, 1 << 24)); }},
    {{"needle-depths", "LIST", "0,.25,.5,.75,1", "where, from the beginning 0 to the end 1; they take turns"},
     [](EvaluateOptions& o, Given const& g) { o.needles.depths = depths(g); }},
    {{"tasks", "FILE", "", "JSON lines with context_ids, question_ids and answer_ids, for models whose tokenizer is not supported here"},
     [](EvaluateOptions& o, Given const& g) { o.tasks = file(g); }},
    {{"write-tasks", "FILE", "", "writes the needles as JSON lines of text instead of measuring; jobs/tokenize.py turns them into --tasks"},
     [](EvaluateOptions& o, Given const& g) { o.write_tasks = file(g); }},
};

constexpr std::array<std::string_view, 25> of_generate_alone{
    "prompts", "prompt-format", "prompt",       "max-new-tokens", "temperature",   "top-k",       "top-p",        "arrivals",
    "output",  "logits",        "trace",        "trace-events",   "checkpoint",    "checkpoint-every", "resume",  "time-limit",
    "time-margin", "fault-plan", "rank-plan",   "active-ranks",   "rebalance-steps", "migration-bytes", "skew", "fidelity",
    "nccl"};

bool of_cache(OptionSpec const& spec) { return std::ranges::find(of_generate_alone, spec.name) == of_generate_alone.end(); }

}  // namespace

std::vector<OptionSpec> evaluate_option_specs() {
  std::vector<OptionSpec> specs;
  for (Row const& row : rows) specs.push_back(row.spec);
  for (OptionSpec const& spec : generate_option_specs())
    if (of_cache(spec)) specs.push_back(spec);
  return specs;
}

EvaluateOptions evaluate_options_from(GivenOptions given) {
  EvaluateOptions options;
  for (Row const& row : rows) {
    auto const found = given.find(row.spec.name);
    if (found == given.end()) continue;
    row.set(options, found->second);
    given.erase(found);
  }
  options.cache = generate_options_from(std::move(given));
  options.needles.seed = options.cache.sampling.seed;
  return options;
}

EvaluateOptions parse_evaluate_options(std::span<std::string const> args) {
  EvaluateOptions options = evaluate_options_from(read_given("evaluate", evaluate_option_specs(), args));
  GivenOptions cache = options.cache.given;
  cache.erase("seed");   // of the needles too
  check_effects(options.cache, cache);
  return options;
}

}  // namespace pikv::runtime
