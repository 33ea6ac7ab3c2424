#include "runtime/sizing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "comm/error.hpp"
#include "runtime/cache_settings.hpp"
#include "runtime/sequences.hpp"
#include "shards/arena.hpp"

namespace pikv::runtime {

namespace {

// From a page's sealing to the step whose plan can use its slot again (shards/home.hpp).
constexpr std::size_t steps_at_home = 4;

constexpr std::size_t least_copies = 16;   // of pages in slower tiers, at once

// New ones of `batch` sequences.
std::size_t blocks_of_a_step(GenerateOptions const& options, std::size_t batch, std::size_t longest_prompt) {
  std::size_t const chunk = std::min(static_cast<std::size_t>(options.prefill_chunk), batch * longest_prompt);
  return chunk / static_cast<std::size_t>(options.page_tokens) + 1 + batch;
}

// What `batch` sequences can occupy at their home besides pages on their way: the first page, which stays, and the open one.
std::size_t home_pages(GenerateOptions const& options, ModelConfig const& config, std::size_t batch, std::size_t longest_prompt) {
  return static_cast<std::size_t>(page_tables(options, config).all) * (2 * batch + steps_at_home * blocks_of_a_step(options, batch, longest_prompt));
}

// The most pages that the requests of one home can hold at once: those of `batch` that run, and of as many that ended just before, whose
// pages are still on their way to being free.
std::size_t most_wanted(std::vector<std::size_t> needs, std::int32_t batch) {
  std::sort(needs.rbegin(), needs.rend());
  needs.resize(std::min(needs.size(), 2 * static_cast<std::size_t>(batch)));
  std::size_t pages = 0;
  for (std::size_t const need : needs) pages += need;
  return pages;
}

std::string readable(std::uint64_t bytes) {
  return bytes < (1u << 20) ? fmt::format("{:.0f} KiB", static_cast<double>(bytes) / 1024) : fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

std::size_t divide_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

}  // namespace

kernels::PageLayout page_layout(GenerateOptions const& options, ModelConfig const& config) {
  return page_tables(options, config).layout;
}

namespace {

// Bytes that the system gives back when they are wanted.
std::uint64_t cached_files(std::filesystem::path const& control_group) {
  std::ifstream statistics{control_group / "memory.stat"};
  std::string key;
  std::uint64_t value = 0, cached = 0;
  while (statistics >> key >> value)
    if (key == "inactive_file" || key == "active_file") cached += value;
  return cached;
}

// What the control groups around this process (a batch job, a container) still allow.
std::uint64_t left_in_control_groups() {
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  std::ifstream membership{"/proc/self/cgroup"};
  std::string line;
  while (std::getline(membership, line) && !line.starts_with("0::/")) {}
  if (!line.starts_with("0::/")) return least;
  for (std::filesystem::path group{line.substr(3)};; group = group.parent_path()) {
    auto const folder = std::filesystem::path{"/sys/fs/cgroup"} / group.relative_path();
    std::uint64_t limit = 0, used = 0;
    bool const limited = static_cast<bool>(std::ifstream{folder / "memory.max"} >> limit);   // "max" is no number
    if (limited && std::ifstream{folder / "memory.current"} >> used) {
      used -= std::min(used, cached_files(folder));
      least = std::min(least, limit - std::min(limit, used));
    }
    if (!group.has_relative_path()) return least;
  }
}

std::uint64_t available_memory() {
  std::ifstream meminfo{"/proc/meminfo"};
  std::string key;
  std::uint64_t kib = 0;
  while (meminfo >> key >> kib) {
    if (key == "MemAvailable:") return kib * 1024;
    meminfo.ignore(64, '\n');
  }
  return std::uint64_t{1} << 30;
}

}  // namespace

std::uint64_t free_memory() { return std::min(available_memory(), left_in_control_groups()); }

Sizing size_store(GenerateOptions const& options, ModelConfig const& config, std::span<Request const> requests, int ranks, int ranks_on_host,
                  std::uint64_t free_bytes, int storing_ranks) {
  int const storing = storing_ranks > 0 ? storing_ranks : ranks;
  bool const local = options.store == StoreMode::local;
  PageTables const tables = page_tables(options, config);
  std::size_t const slot = shards::slot_cost(tables.layout) + CacheManager::summary_bytes_per_page(cache_settings(options, config), tables.layout);
  FastShare const fast = fast_share(options);
  bool const tiers = fast.keep < 1;
  Sizing sizing;
  std::size_t largest = 0, longest_prompt = 1, most_requests = 1;
  Request const* largest_request = nullptr;
  std::vector<std::vector<std::size_t>> needs(static_cast<std::size_t>(ranks));
  for (Request const& request : requests) {
    if (!request.refused.empty()) continue;
    auto const blocks = static_cast<shards::Block>(Sequences::pages_needed(request, options.page_tokens, 1));
    auto const need = static_cast<std::size_t>(fast.blocks(blocks)) * static_cast<std::size_t>(tables.all);
    sizing.most_blocks = std::max(sizing.most_blocks, blocks);
    longest_prompt = std::max(longest_prompt, request.prompt.size());
    auto& of_home = needs[static_cast<std::size_t>(request.index) % needs.size()];
    of_home.push_back(need);
    most_requests = std::max(most_requests, of_home.size());
    if (need > largest) {
      largest = need;
      largest_request = &request;
    }
  }
  std::size_t all = 0, most_of_one = 0;
  for (auto const& of_rank : needs) {
    std::size_t const pages = most_wanted(of_rank, options.batch);
    all += pages;
    most_of_one = std::max(most_of_one, pages);
  }
  auto const batch = std::min(static_cast<std::size_t>(options.batch), most_requests);
  sizing.home_slots = tiers  ? static_cast<std::size_t>(tables.all) * blocks_of_a_step(options, batch, longest_prompt)   // until they are moved
                      : local ? 0
                              : home_pages(options, config, batch, longest_prompt);
  std::size_t const shard_least = local ? largest : divide_up(largest, static_cast<std::size_t>(storing));
  // A twentieth more than an even share: placement is bounded to that (methods 1.2), the rest falls to the next choice.
  // A skewed workload is to show what hashing alone does, so a rank has room for more.
  std::size_t const uneven = options.skew > 0 ? 4 : 1;
  std::size_t const shard_most =
      local ? most_of_one : std::min(all, uneven * divide_up(all + all / 20, static_cast<std::size_t>(storing))) + static_cast<std::size_t>(tables.all);
  bool const may_fetch = !local && ranks > 1 && options.move != Move::query;
  // Copies for one layer of everything that runs where pages must be fetched, of one prompt where it only pays while a prompt is read.
  std::size_t const layer_of_all = static_cast<std::size_t>(sizing.most_blocks) * static_cast<std::size_t>(options.batch);
  std::size_t const all_of_one = static_cast<std::size_t>(sizing.most_blocks) * static_cast<std::size_t>(tables.all);
  // Of pages in slower tiers: those of one layer, so that it is attended in one go; a few will do.
  std::size_t const demoted = batch * static_cast<std::size_t>(sizing.most_blocks - fast.blocks(sizing.most_blocks)) * static_cast<std::size_t>(tables.per_layer);
  std::size_t const replicas_most = may_fetch ? std::max(all_of_one, options.move == Move::page ? layer_of_all : 0) : tiers ? std::max<std::size_t>(demoted, 1) : 0;
  std::size_t const replicas_least = tiers ? std::min(replicas_most, least_copies) : 0;
  std::size_t const least = sizing.home_slots + shard_least + replicas_least, most = std::max(least, sizing.home_slots + shard_most + replicas_most);

  std::uint64_t const share = free_bytes / 10 * 8 / static_cast<std::uint64_t>(ranks_on_host);
  std::uint64_t const budget = options.kv_budget != 0 ? options.kv_budget : share;
  std::size_t const fitting = static_cast<std::size_t>(budget / slot);
  if (fitting < least && largest_request != nullptr)
    throw InputError(fmt::format(
        "{} is too small: request '{}' needs {} pages of {} and a rank keeps {} for open pages and pages on their way; give --kv-budget {}KiB or more, a "
        "smaller --batch or --prefill-chunk, or more ranks",
        options.kv_budget != 0 ? fmt::format("--kv-budget {}", readable(options.kv_budget)) : fmt::format("the free memory ({} per rank)", readable(share)),
        largest_request->id, largest, readable(slot), sizing.home_slots, divide_up(least * slot, 1024)));
  sizing.slots = std::min(fitting, most);
  std::size_t const spare = sizing.slots - std::min(sizing.slots, sizing.home_slots + std::min(shard_most, sizing.slots));
  sizing.replica_slots = std::max(replicas_least, std::min(replicas_most, spare));
  sizing.home_slots += sizing.replica_slots;
  if (options.move == Move::page && may_fetch && sizing.replica_slots < layer_of_all)
    sizing.warning = fmt::format("--move page: this budget has room for {} fetched pages of {} that may be wanted at once, so queries move to the rest; a --kv-budget of {} would do",
                                 sizing.replica_slots, layer_of_all, readable((sizing.slots - sizing.replica_slots + layer_of_all) * slot));
  sizing.sentence = fmt::format("KV memory {} per rank ({} pages), {}", readable(sizing.slots * slot), sizing.slots,
                                fitting >= most              ? "what these prompts can use"
                                : options.kv_budget != 0 ? "as --kv-budget says"
                                                             : "all that is free");
  if (tiers) {
    sizing.tier_host_bytes = options.tier_host >= 0 ? static_cast<std::size_t>(options.tier_host) : static_cast<std::size_t>(share - std::min<std::uint64_t>(share, sizing.slots * slot));
    sizing.sentence += fmt::format("; beside it up to {} of host memory, then a file in {}", readable(sizing.tier_host_bytes), tier_folder(options));
  }
  return sizing;
}

}  // namespace pikv::runtime
