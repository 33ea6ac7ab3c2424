#include "runtime/checkpoint/resume.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "comm/error.hpp"
#include "runtime/agree.hpp"
#include "runtime/apart.hpp"
#include "runtime/attributes.hpp"
#include "runtime/cache_settings.hpp"
#include "runtime/checkpoint/files.hpp"
#include "runtime/checkpoint/tables_check.hpp"
#include "runtime/log.hpp"
#include "runtime/sizing.hpp"
#include "shards/store.hpp"

namespace pikv::runtime {

namespace {

constexpr std::array<std::string_view, 25> decide_the_result{"prompts",     "prompt",    "prompt-format", "max-new-tokens", "temperature",  "top-k",
                                                            "top-p",       "seed",      "page-tokens",   "kv-dtype",       "codec",        "codec-k",
                                                            "codec-v",     "scheduler", "keep",          "redundancy",     "pin-window",
                                                            "attention",   "router",    "experts",       "read-pages",     "exact-window", "max-error",
                                                            "cold-codec",  "cold-after"};
constexpr std::array<std::string_view, 2> decide_what_is_routed{"home", "kv-experts"};
constexpr std::array<std::string_view, 19> of_one_run{"active-ranks", "rank-plan",  "in-process",  "schedule-seed", "transport", "progress-thread", "nccl",
                                                      "threads",      "fault-plan", "trace",       "trace-events",  "report",    "logits",
                                                      "resume",       "time-limit", "time-margin", "log-level",     "config",    "deadline"};

bool is_in(auto const& names, std::string_view name) { return std::ranges::find(names, name) != names.end(); }

std::string initial_value(std::string_view option) {
  for (OptionSpec const& spec : generate_option_specs())
    if (spec.name == option) return spec.initial;
  return {};
}

// The first field of the two that differs, as a sentence; empty if all are equal.
std::string difference(Attributes const& saved, Attributes const& here) {
  for (Attribute const& field : here) {
    auto const before = std::ranges::find(saved, field.name, &Attribute::name);
    if (before != saved.end() && before->value == field.value) continue;
    auto const text = [](auto const& value) { return std::visit([](auto const& v) { return fmt::format("{}", v); }, value); };
    return fmt::format("{} is {} there and {} here", field.name, before == saved.end() ? "missing" : text(before->value), text(field.value));
  }
  return {};
}

}  // namespace

Continuation::Continuation(comm::World& world, GenerateOptions const& options) {
  std::string path;
  agree(world, patience * options.deadline_s, [&] {
    Doing const doing{"looking at the checkpoint"};
    if (world.rank() != 0) return;
    path = checkpoint_at(options.resume).string();
    run_apart_on(path, "--checkpoint", [&] { CheckpointReader const look{path}; });
  });
  auto const parts = world.all_gather(std::as_bytes(std::span{path}), world.in(options.deadline_s));
  path.assign(reinterpret_cast<char const*>(parts[0].data()), parts[0].size());
  agree(world, patience * options.deadline_s, [&] { checkpoint_.emplace(path); });
}

std::string Continuation::name() const { return fmt::format("{} (step {})", checkpoint_->path().string(), checkpoint_->facts().step); }

void Continuation::verify(comm::World& world, Model const& model, GenerateOptions const& options, shards::PageCodecs const* codecs) {
  std::string const path = checkpoint_->path().string();
  CheckpointFacts const& facts = checkpoint_->facts();
  agree(world, patience * options.deadline_s, [&] {
    auto const layout = page_layout(options, model.config());
    std::string const differs = difference(facts.model, model_attributes(model.config(), model.parameters()));
    if (!differs.empty()) throw InputError(fmt::format("{} is of another model: {}; give --model the folder of the one it was made with", path, differs));
    if (facts.fingerprint != shards::page_fingerprint(model.fingerprint(), layout, codecs) || facts.payload_bytes != layout.bytes())
      throw InputError(fmt::format("{} is of a model of the same shape with other weights, or of another calibration (fingerprint {}); give --model and --calibration what it was made with",
                                   path, hex(facts.fingerprint)));
  });
  agree(world, patience * options.deadline_s, [&] {
    if (auto const wrong = contradiction_in(*checkpoint_); !wrong.empty())
      throw RunError(fmt::format("{} is damaged: {}; nothing was restored, resume from an older checkpoint", path, wrong));
  });
  agree(world, patience * options.deadline_s, [&] {
    Doing const doing{"verifying the pages of the checkpoint"};
    std::vector<std::byte> payload(facts.payload_bytes);
    auto const ranks = static_cast<std::size_t>(world.size());
    for (auto row = static_cast<std::size_t>(world.rank()); row < checkpoint_->pages().size(); row += ranks) {
      auto const verdict = checkpoint_->verdict(row, payload);
      if (verdict == shards::Verdict::good || verdict == shards::Verdict::not_ready) continue;   // not ready: it was not sound then, and is computed again
      throw RunError(fmt::format("page {} of {} is damaged ({}); nothing was restored, resume from an older checkpoint", row, path, to_string(verdict)));
    }
  });
  pages_.emplace(*checkpoint_, page_tables(options, model.config()).all);
}

GenerateOptions resumed_options(GenerateOptions const& now, CheckpointFacts const& checkpoint, std::string const& from) {
  GivenOptions merged;
  for (Attribute const& option : checkpoint.options)
    if (!is_in(of_one_run, option.name))
      merged[option.name] = {text_in(checkpoint.options, option.name), fmt::format("{}={} in {}", option.name, text_in(checkpoint.options, option.name), from)};
  bool const routed = merged.contains("attention") && merged.at("attention").value == "routed";
  for (auto const& [name, given] : now.given) {
    auto const saved = merged.find(name);
    std::string const before = saved != merged.end() ? saved->second.value : initial_value(name);
    if ((is_in(decide_the_result, name) || (routed && is_in(decide_what_is_routed, name))) && given.value != before)
      throw InputError(fmt::format("{} would change the result of the job that {} goes on from ({}); leave it out", given.said, from,
                                   before.empty() ? "which was given none" : "which has " + before));
    if (name == "arrivals" && given.value != before)
      throw InputError(
          fmt::format("{} has no effect on a job that goes on, whose requests have their arrivals from {}; leave it out", given.said, from));
    merged[name] = given;
  }
  GenerateOptions const options = generate_options_from(merged);
  check_effects(options, now.given);
  std::erase_if(merged, [&](auto const& option) {
    return !now.given.contains(option.first) && !decides_the_result(option.first) && !has_effect(options, option.first);
  });
  return generate_options_from(std::move(merged));
}

bool decides_the_result(std::string_view option) { return is_in(decide_the_result, option); }

std::string value_of(Attributes const& given, std::string_view option) {
  bool const there = std::ranges::find(given, option, &Attribute::name) != given.end();
  return there ? text_in(given, option) : initial_value(option);
}

Attributes given_attributes(GivenOptions const& given) {
  Attributes attributes;
  for (auto const& [name, option] : given) attributes.push_back({name, option.value});
  return attributes;
}

}  // namespace pikv::runtime
