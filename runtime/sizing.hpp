#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/fast_share.hpp"
#include "runtime/model/config.hpp"
#include "runtime/options.hpp"
#include "runtime/request.hpp"
#include "shards/page_codecs.hpp"
#include "shards/store_options.hpp"

namespace pikv::runtime {

/// How many slots a rank's arena gets and for what.
struct Sizing {
  std::size_t slots = 0, home_slots = 0, replica_slots = 0;
  std::vector<shards::CodedSlots> coded;             // the same of the size classes of coded pages
  std::uint64_t arena_bytes = 0, summary_bytes = 0;   // of all of them; of summaries of as many pages
  std::size_t tier_host_bytes = 0;    // with a scheduler that places pages in tiers
  shards::Block most_blocks = 1;      // of one request
  std::string sentence;               // for the log: how large, and why
  std::string warning;                // for the log: what this budget cannot do; empty: nothing
};

/// All ranks get the same. With --kv-budget: what fits in it. Without: what these requests can use at most, as far as memory is free
/// (`free_bytes` of this host, shared by `ranks_on_host`). Throws InputError with the budget that would do when the largest request
/// could never run. `storing_ranks`: how many ranks store pages when they are fewest (rank_plan.hpp); 0: all. `host_bytes`: where pages lie in a device's
/// memory, what is free of the host's for slower tiers; 0: they have what the arena leaves.
Sizing size_store(GenerateOptions const& options, ModelConfig const& config, std::span<Request const> requests, int ranks, int ranks_on_host,
                  std::uint64_t free_bytes, int storing_ranks = 0, shards::PageCodecs const* codecs = nullptr, std::uint64_t host_bytes = 0);

/// What a request reserves of its pages: those in the fast tier; where all pages cool, those that may be cold.
FastShare reserved_share(GenerateOptions const& options, shards::PageCodecs const* codecs);

/// Newest full blocks that stay uncompressed.
std::int32_t exact_blocks(GenerateOptions const& options);

kernels::PageLayout page_layout(GenerateOptions const& options, ModelConfig const& config);

/// MemAvailable of /proc/meminfo.
std::uint64_t free_memory();

}  // namespace pikv::runtime
