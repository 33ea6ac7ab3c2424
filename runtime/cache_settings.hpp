#pragma once

#include "runtime/cache_manager.hpp"
#include "runtime/fast_share.hpp"
#include "runtime/model/config.hpp"
#include "runtime/options.hpp"

namespace pikv::runtime {

/// What the options say about the cache of this model.
/// Throws InputError if it asks for more KV experts than there are.
CacheSettings cache_settings(GenerateOptions const& options, ModelConfig const& config);

/// E_kv: --kv-experts, else the model's experts for home `router`, else 64.
shards::KvExpert kv_experts(GenerateOptions const& options, ModelConfig const& config);

/// All that there is, unless the scheduler places pages in tiers.
FastShare fast_share(GenerateOptions const& options);
/// --tier-dir, or the default.
std::string tier_folder(GenerateOptions const& options);

/// Page tables of the whole model, and the shape of a page in one of them.
struct PageTables {
  std::int32_t per_layer = 1, all = 0;
  std::int32_t q_heads = 0;   // that read one
  kernels::PageLayout layout;
};
PageTables page_tables(GenerateOptions const& options, ModelConfig const& config);

/// Whether its policies want to know what pages weighed, so that partials need room for that.
bool wants_masses(CacheSettings const& settings);

/// Bytes of summaries that a query reads per page that exists, to choose what it reads.
double summary_bytes_read(CacheSettings const& settings, kernels::PageLayout const& layout);

}  // namespace pikv::runtime
