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
#include "runtime/storage_choice.hpp"
#include "shards/arena.hpp"

namespace pikv::runtime {

namespace {

// From a page's sealing to the step whose plan can use its slot again (shards/home.hpp).
constexpr std::size_t steps_at_home = 4;

// From the step in which a warm page elsewhere is ordered to be recoded to the one that can use its slot again (shards/recoding.hpp).
constexpr std::size_t steps_to_cool = 4;

constexpr std::size_t least_copies = 16;   // of pages in slower tiers, at once

// New ones of `batch` sequences.
std::size_t blocks_of_a_step(GenerateOptions const& options, std::size_t batch, std::size_t longest_prompt) {
  std::size_t const chunk = std::min(static_cast<std::size_t>(options.prefill_chunk), batch * longest_prompt);
  return chunk / static_cast<std::size_t>(options.page_tokens) + 1 + batch;
}

// The most blocks that the requests of one home can hold at once: those of `batch` that run, and of as many that ended just before, whose
// pages are still on their way to being free.
std::size_t most_wanted(std::vector<std::size_t> needs, std::int32_t batch) {
  std::sort(needs.rbegin(), needs.rend());
  needs.resize(std::min(needs.size(), 2 * static_cast<std::size_t>(batch)));
  std::size_t blocks = 0;
  for (std::size_t const need : needs) blocks += need;
  return blocks;
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

namespace {

/// What bounds the slots of every size class.
struct Demand {
  std::size_t batch = 1, most_blocks = 1;
  std::size_t step_blocks = 1;                              // new ones of a step
  std::size_t largest = 0, most_of_one = 0, all = 0;        // blocks in the long run: of one request, of one home, of all
  std::size_t fast_blocks = 1;                              // of the largest stream, that stay in the fast tier
  std::size_t storing = 1;
  bool local = false, tiers = false, may_fetch = false;
};

struct ClassSize {
  std::size_t home = 0, shard_least = 0, shard_most = 0, replicas_least = 0, replicas_most = 0;
  std::size_t cost = 0;   // bytes of a slot
  std::size_t least() const { return home + shard_least + replicas_least; }
  std::size_t most() const { return std::max(least(), home + shard_most + replicas_most); }
};

// Of a size class that holds `sealed` of a block's pages once they are full, and `passing` ones only until then.
ClassSize size_class(GenerateOptions const& options, Demand const& demand, std::size_t sealed, std::size_t passing, std::size_t tables_per_layer) {
  ClassSize size;
  std::size_t const open = (2 + static_cast<std::size_t>(exact_blocks(options))) * demand.batch;   // the first page, which stays, and the open one
  size.home = demand.tiers ? sealed * demand.step_blocks : demand.local ? 0 : sealed * (2 * demand.batch + steps_at_home * demand.step_blocks);
  size.home += passing * (open + demand.step_blocks);
  std::size_t const largest = demand.largest * sealed, all = demand.all * sealed;
  size.shard_least = demand.local ? largest : divide_up(largest, demand.storing);
  // A twentieth more than an even share: placement is bounded to that (methods 1.2), the rest falls to the next choice.
  // A skewed workload is to show what hashing alone does, so a rank has room for more.
  std::size_t const uneven = options.skew > 0 ? 4 : 1;
  size.shard_most = demand.local ? demand.most_of_one * sealed : std::min(all, uneven * divide_up(all + all / 20, demand.storing)) + sealed;
  // Copies for one layer of everything that runs where pages must be fetched, of one prompt where it only pays while a prompt is read.
  std::size_t const layer_of_all = demand.most_blocks * static_cast<std::size_t>(options.batch), all_of_one = demand.most_blocks * sealed;
  // Of pages in slower tiers: those of one layer, so that it is attended in one go; a few will do.
  std::size_t const demoted = demand.batch * (demand.most_blocks - demand.fast_blocks) * tables_per_layer;
  if (sealed > 0 && demand.may_fetch) size.replicas_most = std::max(all_of_one, options.move == Move::page ? layer_of_all : 0);
  if (demand.tiers) size.replicas_most = sealed > 0 ? std::max<std::size_t>(demoted, 1) : 0;
  size.replicas_least = demand.tiers ? std::min(size.replicas_most, least_copies) : 0;
  return size;
}

shards::CodedSlots slots_in(ClassSize const& size, std::size_t slots) {
  std::size_t const spare = slots - std::min(slots, size.home + std::min(size.shard_most, slots));
  std::size_t const replicas = std::max(size.replicas_least, std::min(size.replicas_most, spare));
  return {slots, size.home + replicas, replicas};
}

}  // namespace

namespace {

// Blocks of a stream that can be warm beside one another, but for those a step brings.
shards::Block warm_blocks(GenerateOptions const& options) { return shards::blocks_for(storage_choice(options).cold->after, options.page_tokens) + 1; }

// `blocks_of` is what a request of so many blocks wants of a size class at once.
template <typename Blocks>
Demand demand_of(Demand demand, std::vector<std::vector<std::size_t>> const& needs, std::int32_t batch, Blocks const& blocks_of) {
  demand.largest = demand.most_of_one = demand.all = 0;
  for (auto of_home : needs) {
    for (std::size_t& need : of_home) demand.largest = std::max(demand.largest, need = blocks_of(need));
    std::size_t const blocks = most_wanted(std::move(of_home), batch);
    demand.all += blocks;
    demand.most_of_one = std::max(demand.most_of_one, blocks);
  }
  return demand;
}

// Warm pages of everything that runs, so that none waits for another to cool; their slots are free some steps after.
Demand of_warm(Demand const& any, std::vector<std::vector<std::size_t>> const& needs, GenerateOptions const& options) {
  auto const most = static_cast<std::size_t>(warm_blocks(options));
  Demand demand = demand_of(any, needs, options.batch, [&](std::size_t need) { return std::min(need, most); });
  std::size_t const passing = steps_to_cool * any.step_blocks;
  demand.most_of_one = std::min(any.most_of_one, demand.most_of_one + passing);
  demand.all = std::min(any.all, demand.all + needs.size() * passing);
  demand.largest = demand.local ? demand.most_of_one : demand.all;
  demand.most_blocks = std::min(any.most_blocks, most + any.step_blocks);
  return demand;
}

}  // namespace

FastShare reserved_share(GenerateOptions const& options, shards::PageCodecs const* codecs) {
  FastShare share = fast_share(options);
  if (codecs != nullptr && codecs->all_cool()) share.warm = static_cast<shards::Block>(storage_choice(options).cold->after / options.page_tokens);
  return share;
}

std::int32_t exact_blocks(GenerateOptions const& options) { return static_cast<std::int32_t>(shards::blocks_for(options.exact_window, options.page_tokens)); }

Sizing size_store(GenerateOptions const& options, ModelConfig const& config, std::span<Request const> requests, int ranks, int ranks_on_host,
                  std::uint64_t free_bytes, int storing_ranks, shards::PageCodecs const* codecs, std::uint64_t host_bytes) {
  PageTables const tables = page_tables(options, config);
  std::size_t const summary = CacheManager::summary_bytes_per_page(cache_settings(options, config), tables.layout);
  FastShare const fast = fast_share(options);
  Demand demand;
  demand.local = options.store == StoreMode::local;
  demand.tiers = fast.keep < 1;
  demand.storing = static_cast<std::size_t>(storing_ranks > 0 ? storing_ranks : ranks);
  demand.may_fetch = !demand.local && ranks > 1 && options.move != Move::query;
  Sizing sizing;
  std::size_t longest_prompt = 1, most_requests = 1;
  Request const* largest_request = nullptr;
  std::vector<std::vector<std::size_t>> needs(static_cast<std::size_t>(ranks));
  for (Request const& request : requests) {
    if (!request.refused.empty()) continue;
    auto const blocks = static_cast<shards::Block>(Sequences::pages_needed(request, options.page_tokens, 1));
    auto const need = static_cast<std::size_t>(fast.blocks(blocks));
    sizing.most_blocks = std::max(sizing.most_blocks, blocks);
    longest_prompt = std::max(longest_prompt, request.prompt.size());
    auto& of_home = needs[static_cast<std::size_t>(request.index) % needs.size()];
    of_home.push_back(need);
    most_requests = std::max(most_requests, of_home.size());
    if (need > demand.largest) {
      demand.largest = need;
      largest_request = &request;
    }
  }
  demand.batch = std::min(static_cast<std::size_t>(options.batch), most_requests);
  demand.step_blocks = blocks_of_a_step(options, demand.batch, longest_prompt);
  demand.most_blocks = static_cast<std::size_t>(sizing.most_blocks);
  demand.fast_blocks = static_cast<std::size_t>(fast.blocks(sizing.most_blocks));

  auto const as_is = [](std::size_t need) { return need; };
  demand = demand_of(demand, needs, options.batch, as_is);
  FastShare const reserved = reserved_share(options, codecs);
  bool const passes = reserved.warm > 0;
  Demand const warm = passes ? of_warm(demand, needs, options) : demand;
  Demand const cold = passes ? demand_of(demand, needs, options.batch, [&](std::size_t need) { return static_cast<std::size_t>(reserved.blocks(static_cast<shards::Block>(need))); }) : demand;

  auto const all_tables = static_cast<std::size_t>(tables.all);
  std::vector<ClassSize> classes;
  std::size_t coded_tables = 0;
  for (std::int32_t c = 1; codecs != nullptr && c <= codecs->classes(); ++c) {
    auto const sealed = static_cast<std::size_t>(codecs->tables_in(c));
    bool const is_warm = codecs->level_of(c) == shards::Level::warm;
    coded_tables += is_warm ? sealed : 0;
    classes.push_back(size_class(options, is_warm ? warm : cold, sealed, 0, static_cast<std::size_t>(tables.per_layer)));
    classes.back().cost = shards::SizeClass{.layout = tables.layout, .coded_bytes = codecs->class_bytes(c)}.slot_cost() + summary;
  }
  classes.insert(classes.begin(), size_class(options, demand, all_tables - coded_tables, coded_tables, static_cast<std::size_t>(tables.per_layer)));
  classes[0].cost = shards::slot_cost(tables.layout) + summary;

  std::uint64_t least = 0, most = 0;
  for (ClassSize const& size : classes) {
    least += size.least() * size.cost;
    most += size.most() * size.cost;
  }
  std::uint64_t const share = free_bytes / 10 * 8 / static_cast<std::uint64_t>(ranks_on_host);
  std::uint64_t const budget = options.kv_budget != 0 ? options.kv_budget : share;
  if (budget < least && largest_request != nullptr)
    throw InputError(fmt::format(
        "{} is too small: request '{}' needs {} pages of {} and a rank keeps {} for open pages and pages on their way; give --kv-budget {}KiB or more, a "
        "smaller --batch or --prefill-chunk, or more ranks",
        options.kv_budget != 0 ? fmt::format("--kv-budget {}", readable(options.kv_budget)) : fmt::format("the free memory ({} per rank)", readable(share)),
        largest_request->id, demand.largest * all_tables, readable(classes.back().cost), classes[0].home, divide_up(least, 1024)));
  std::uint64_t pages = 0;
  for (std::size_t c = 0; c < classes.size(); ++c) {
    ClassSize const& size = classes[c];
    std::size_t slots = size.most();
    if (budget < most && classes.size() == 1) slots = static_cast<std::size_t>(budget / size.cost);
    if (budget < most && classes.size() > 1)   // what is beyond the least is shared out evenly
      slots = size.least() + static_cast<std::size_t>(static_cast<double>(size.most() - size.least()) * (static_cast<double>(budget - std::min(budget, least)) / static_cast<double>(most - least)));
    shards::CodedSlots const of = slots_in(size, slots);
    if (c == 0) {
      sizing.slots = of.slots;
      sizing.home_slots = of.home_slots;
      sizing.replica_slots = of.replica_slots;
    } else {
      sizing.coded.push_back(of);
    }
    sizing.arena_bytes += slots * (size.cost - summary);
    sizing.summary_bytes += slots * summary;
    pages += slots;
  }
  std::size_t const layer_of_all = demand.most_blocks * static_cast<std::size_t>(options.batch), replicas = sizing.coded.empty() ? sizing.replica_slots : sizing.coded.back().replica_slots;
  if (options.move == Move::page && demand.may_fetch && replicas < layer_of_all)
    sizing.warning = fmt::format("--move page: this budget has room for {} fetched pages of {} that may be wanted at once, so queries move to the rest; a --kv-budget of {} would do",
                                 replicas, layer_of_all, readable(sizing.arena_bytes + sizing.summary_bytes + (layer_of_all - replicas) * classes.back().cost));
  sizing.sentence = fmt::format("KV memory {} per rank ({} pages), {}", readable(sizing.arena_bytes + sizing.summary_bytes), pages,
                                budget >= most           ? "what these prompts can use"
                                : options.kv_budget != 0 ? "as --kv-budget says"
                                                         : "all that is free");
  if (demand.tiers) {
    std::uint64_t const taken = sizing.arena_bytes + sizing.summary_bytes;
    std::uint64_t const beside = host_bytes > 0 ? host_bytes / 10 * 8 / static_cast<std::uint64_t>(ranks_on_host) : share - std::min<std::uint64_t>(share, taken);
    sizing.tier_host_bytes = options.tier_host >= 0 ? static_cast<std::size_t>(options.tier_host) : static_cast<std::size_t>(beside);
    sizing.sentence += fmt::format("; beside it up to {} of host memory, then a file in {}", readable(sizing.tier_host_bytes), tier_folder(options));
  }
  return sizing;
}

}  // namespace pikv::runtime
