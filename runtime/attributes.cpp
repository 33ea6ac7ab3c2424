#include "runtime/attributes.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace pikv::runtime {
namespace {

char const* name_of(Move move) {
  switch (move) {
    case Move::query: return "query";
    case Move::page: return "page";
    case Move::automatic: return "auto";
  }
  return "unknown";
}

char const* name_of(StoreMode mode) { return mode == StoreMode::sharded ? "sharded" : "local"; }

template <typename T>
T const* value_in(Attributes const& attributes, std::string_view name) {
  auto const found = std::ranges::find(attributes, name, &Attribute::name);
  return found == attributes.end() ? nullptr : std::get_if<T>(&found->value);
}

std::string names_of(GivenOptions const& given) {
  std::string names;
  for (auto const& [name, value] : given) names += (names.empty() ? "" : " ") + name;
  return names;
}

std::int64_t whole(auto number) { return static_cast<std::int64_t>(number); }

}  // namespace

std::int64_t number_in(Attributes const& attributes, std::string_view name, std::int64_t otherwise) {
  auto const* const value = value_in<std::int64_t>(attributes, name);
  return value != nullptr ? *value : otherwise;
}

double real_in(Attributes const& attributes, std::string_view name, double otherwise) {
  auto const* const value = value_in<double>(attributes, name);
  return value != nullptr ? *value : otherwise;
}

std::string text_in(Attributes const& attributes, std::string_view name) {
  auto const* const value = value_in<std::string>(attributes, name);
  return value != nullptr ? *value : "";
}

Attributes model_attributes(ModelConfig const& model, std::int64_t parameters) {
  return {
      {"architecture", model.architecture},
      {"parameters", parameters},
      {"layers", whole(model.layers)},
      {"hidden", whole(model.hidden)},
      {"q_heads", whole(model.q_heads)},
      {"kv_heads", whole(model.kv_heads)},
      {"head_dim", whole(model.head_dim)},
      {"intermediate", whole(model.intermediate)},
      {"experts", whole(model.experts)},
      {"experts_per_token", whole(model.experts_per_token)},
      {"vocab", whole(model.vocab)},
      {"max_positions", whole(model.max_positions)},
      {"rope_theta", static_cast<double>(model.rope_theta)},
      {"tied_embedding", whole(model.tied_embedding)},
  };
}

Attributes fault_attributes(comm::FaultCounts const& faults) {
  Attributes attributes;
  for (auto const& kind : comm::fault_kinds) attributes.push_back({kind.name, whole(faults.*kind.count)});
  return attributes;
}

Attributes option_attributes(GenerateOptions const& options) {
  return {
      {"model", options.model},
      {"prompts", options.prompts},
      {"prompt-format", options.prompt_format},
      {"max-new-tokens", whole(options.max_new_tokens)},
      {"temperature", static_cast<double>(options.sampling.temperature)},
      {"top-k", whole(options.sampling.top_k)},
      {"top-p", static_cast<double>(options.sampling.top_p)},
      {"seed", whole(options.sampling.seed)},
      {"batch", whole(options.batch)},
      {"page-tokens", whole(options.page_tokens)},
      {"prefill-chunk", whole(options.prefill_chunk)},
      {"kv-dtype", std::string{kernels::name_of(options.kv_dtype)}},
      {"kv-budget", whole(options.kv_budget)},
      {"home", options.home},
      {"kv-experts", whole(options.kv_experts)},
      {"store", std::string{name_of(options.store)}},
      {"move", std::string{name_of(options.move)}},
      {"codec", options.codec},
      {"codec-k", options.codec_k},
      {"codec-v", options.codec_v},
      {"cold-codec", options.cold_codec},
      {"cold-after", whole(options.cold_after)},
      {"calibration", options.calibration},
      {"exact-window", whole(options.exact_window)},
      {"scheduler", options.scheduler},
      {"transport", options.transport},
      {"progress-thread", !options.progress.on ? "off" : options.progress.core < 0 ? "on" : std::to_string(options.progress.core)},
      {"nccl", options.nccl},
      {"fault-plan", options.fault_plan},
      {"scrub", whole(options.scrub)},
      {"active-ranks", whole(options.active_ranks)},
      {"rank-plan", options.rank_plan},
      {"rebalance-steps", whole(options.rebalance_steps)},
      {"migration-bytes", whole(options.migration_bytes)},
      {"skew", options.skew},
      {"arrivals", options.arrivals},
      {"in-process", whole(options.in_process)},
      {"schedule-seed", whole(options.schedule_seed)},
      {"reproducible", whole(options.reproducible)},
      {"trace-events", whole(options.trace_events)},
      {"threads", whole(options.threads)},
      {"deadline", options.deadline_s},
      {"checkpoint", options.checkpoint},
      {"checkpoint-every", whole(options.checkpoint_every)},
      {"resume", options.resume},
      {"time-limit", options.time_limit_s},
      {"time-margin", options.time_margin_s},
      {"given", names_of(options.given)},
  };
}

}  // namespace pikv::runtime
