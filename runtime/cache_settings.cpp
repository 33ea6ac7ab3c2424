#include "runtime/cache_settings.hpp"

#include <fmt/format.h>

#include "comm/error.hpp"
#include "runtime/scheduling/selections.hpp"

namespace pikv::runtime {
namespace {

std::string const& policy_of(GenerateOptions const& options) { return options.selection ? options.selection->name : options.scheduler; }

}   // namespace

shards::KvExpert kv_experts(GenerateOptions const& options, ModelConfig const& config) {
  if (options.kv_experts > 0) return options.kv_experts;
  return options.home == "router" && config.moe() ? config.experts : shards::default_kv_experts;
}

CacheSettings cache_settings(GenerateOptions const& options, ModelConfig const& config) {
  CacheSettings settings;
  settings.scheduler = policy_of(options);
  settings.keep = options.selection ? selections().at(options.selection->name).keep(options.selection->parameter) : options.keep;
  settings.redundancy = options.redundancy;
  settings.window = options.pin_window;
  ReadSettings& read = settings.read;
  read.mode = options.attention == "routed"      ? AttentionMode::routed
              : options.attention == "certified" ? AttentionMode::certified
                                                 : AttentionMode::exact;
  read.router = options.router;
  read.kv_experts = kv_experts(options, config);
  if (options.experts > read.kv_experts)
    throw InputError(fmt::format("--experts={} is more than the {} KV experts there are; give --kv-experts {} or more, or read fewer", options.experts, read.kv_experts, options.experts));
  read.experts = options.experts;
  read.read_pages = options.read_pages;
  read.max_error = options.max_error;
  read.seed = options.sampling.seed;
  return settings;
}

FastShare fast_share(GenerateOptions const& options) {
  bool const places = schedulers().at(options.scheduler).kind == SchedulerKind::placement;
  return {places ? options.keep : 1, options.pin_window, options.page_tokens, 0};
}

std::string tier_folder(GenerateOptions const& options) { return options.tier_dir.empty() ? shards::default_tier_folder() : options.tier_dir; }

PageTables page_tables(GenerateOptions const& options, ModelConfig const& config) {
  PageTables tables;
  tables.per_layer = tables_per_layer(policy_of(options), config.kv_heads);
  tables.all = config.layers * tables.per_layer;
  tables.q_heads = config.q_heads / tables.per_layer;
  tables.layout = {options.kv_dtype, config.kv_heads / tables.per_layer, options.page_tokens, config.head_dim};
  return tables;
}

bool wants_masses(CacheSettings const& settings) {
  SchedulerEntry const& scheduler = policy_named(settings.scheduler);
  ReadSettings const& read = settings.read;
  bool const learns = read.mode == AttentionMode::routed && read.experts > 0 && routers().at(read.router).learns;
  return scheduler.masses || scheduler.queries || learns || read.mode == AttentionMode::certified;
}

// A box or a mean is 4 bytes a channel.
double summary_bytes_read(CacheSettings const& settings, kernels::PageLayout const& layout) {
  double const one = 4.0 * layout.kv_heads * layout.head_dim;
  ReadSettings const& read = settings.read;
  if (policy_named(settings.scheduler).kind == SchedulerKind::selection) return one;
  if (read.mode == AttentionMode::certified) return 2 * one;
  if (read.mode == AttentionMode::exact) return 0;
  bool const looks = read.experts > 0 && read.experts < read.kv_experts && routers().at(read.router).affinities;
  bool const learns = looks && routers().at(read.router).learns;
  return (looks ? one : 0) + (learns ? one : 0) + (read.read_pages > 0 ? one : 0);
}

}  // namespace pikv::runtime
