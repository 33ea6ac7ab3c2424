#include "runtime/setup.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <omp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <map>

#include "comm/cores.hpp"
#include "comm/error.hpp"
#include "runtime/agree.hpp"
#include "runtime/cache_settings.hpp"
#include "runtime/calibration/calibration_file.hpp"
#include "runtime/device_choice.hpp"
#include "runtime/page_storage.hpp"
#include "runtime/storage_choice.hpp"
#include "runtime/model/embedded.hpp"

namespace pikv::runtime {

std::string counted(int n, char const* one) { return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s"); }

std::string read_text(std::string const& path, std::string const& option) {
  std::ifstream file;
  if (path != "-") {
    bool const folder = std::filesystem::is_directory(path);
    if (!folder) file.open(path, std::ios::binary);
    if (!file.is_open()) throw InputError(option + "=" + path + (folder ? " is a folder" : " could not be read") + "; give a file that exists");
  }
  std::istream& in = path == "-" ? std::cin : file;
  std::string text{std::istreambuf_iterator<char>{in}, {}};
  if (in.bad()) throw InputError(option + "=" + path + " could not be read to its end; give a regular file");
  return text;
}

std::string text_of_file(comm::World& world, GenerateOptions const& options, std::string const& path, std::string const& option) {
  std::string text;
  agree(world, patience * options.deadline_s, [&] {
    if (world.rank() == 0) text = read_text(path, option);
  });
  auto const parts = world.all_gather(std::as_bytes(std::span{text}), world.in(options.deadline_s));
  return {reinterpret_cast<char const*>(parts[0].data()), parts[0].size()};
}

void load_model(Job& job) {
  job.model_dir = job.options.model.empty() ? embedded_model_dir() : std::filesystem::path{job.options.model};
  job.model = Model::load(job.model_dir, job.world.rank(), job.world.size());
  job.tokenizer = make_tokenizer(job.model_dir, job.model->config());
}

// "int4 in 4, mixed:3 in 8", of heads.
std::string tally(std::vector<PartChoice> const& heads) {
  std::map<std::string, int> counts;
  for (PartChoice const& head : heads) ++counts[text_of(head)];
  std::vector<std::string> parts;
  for (auto const& [text, count] : counts) parts.push_back(fmt::format("{} in {}", text, count));
  return fmt::format("{}", fmt::join(parts, ", "));
}

void load_codecs(Job& job) {
  GenerateOptions const& options = job.options;
  std::optional<Calibration> calibration;
  if (!options.calibration.empty())
    calibration.emplace(read_calibration(job.world, options.deadline_s, options.calibration, "--calibration=" + options.calibration, *job.model));
  auto const fits = [&](shards::PageCodecs const& codecs) {
    GenerateOptions without = options;
    without.kv_budget = 0;
    Sizing const all = size_store(without, job.model->config(), job.requests, job.world.size(), 1, std::numeric_limits<std::uint64_t>::max() / 16, job.ranks.least_storing(), &codecs);
    return all.arena_bytes + all.summary_bytes <= options.kv_budget;
  };
  agree(job.world, patience * options.deadline_s, [&] {
    ModelConfig const& config = job.model->config();
    PageStorage const storage = storage_choice(options).automatic ? choose_page_storage(options, config, *calibration, fits)
                                                                  : make_page_storage(options, config, calibration ? &*calibration : nullptr);
    job.codecs = storage.codecs;
    if (storage_choice(options).automatic && job.world.rank() == 0)
      spdlog::info("auto stores keys as {}, values as {} heads (of {} in all layers)", tally(storage.parts[0]), tally(storage.parts[1]), storage.parts[0].size());
    job.drift.reset();
    if (storage.parts[0].empty()) return;   // it has nothing of a calibration
    job.drift = std::make_unique<DriftWatch>(expected_errors(storage.parts, *calibration), config.kv_heads, page_tables(options, config).layout);
  });
}

void read_rank_plan(Job& job) {
  GenerateOptions const& options = job.options;
  std::string const text = options.rank_plan.empty() ? "" : text_of_file(job.world, options, options.rank_plan, "--rank-plan");
  agree(job.world, options.deadline_s, [&] {
    int const ranks = job.world.size();
    if (options.active_ranks > ranks)
      throw InputError(fmt::format("--active-ranks={} is more than the {} of this job; give {} or fewer", options.active_ranks, counted(ranks, "rank"), ranks));
    job.ranks = RankPlan{ranks, options.active_ranks > 0 ? options.active_ranks : ranks};
    if (!options.rank_plan.empty()) job.ranks.read(text, "--rank-plan=" + options.rank_plan);
    auto const layout = page_layout(options, job.model->config());
    std::size_t const page = layout.bytes() + shards::header_bytes;
    if (options.migration_bytes > 0 && options.migration_bytes < page)
      throw InputError(fmt::format("--migration-bytes={} is less than a page with its header ({} bytes), so none could ever move; give {}KiB or more",
                                   options.migration_bytes, page, (page + 1023) / 1024));
  });
}

namespace {

int ranks_on_host(comm::World const& world) {
  int ranks = 0;
  for (comm::Rank rank = 0; rank < world.size(); ++rank) ranks += world.host(rank) == world.host(world.rank()) ? 1 : 0;
  return ranks;
}

}  // namespace

void size_job(Job& job) {
  std::uint64_t const of_host = free_memory() / static_cast<std::uint64_t>(ranks_on_host(job.world));
  std::uint64_t mine = of_host;   // hosts may differ: the least counts
  if (job.device) mine = share_of_memory(job.world, job.device->identity(), job.device->free_bytes(), weight_bytes(*job.model), job.options.deadline_s);
  std::array<std::uint64_t, 2> const both{mine, of_host};
  auto const free = job.world.all_gather(std::as_bytes(std::span{both}), job.world.in(job.options.deadline_s));
  std::uint64_t least = mine, least_of_host = of_host;
  for (comm::Bytes const& bytes : free) {
    comm::MessageReader read{bytes};
    least = std::min(least, read.value<std::uint64_t>());
    least_of_host = std::min(least_of_host, read.value<std::uint64_t>());
  }
  agree(job.world, job.options.deadline_s, [&] {
    if (job.device && mine == 0)
      throw InputError(fmt::format("the model's weights take {} bytes, more than this rank's share of its GPU's free memory; use more GPUs, or {}", weight_bytes(*job.model), host_instead));
    if (fast_share(job.options).keep < 1) (void)shards::make_file_tier(0, tier_folder(job.options));   // on each host
    job.sizing = size_store(job.options, job.model->config(), job.requests, job.world.size(), 1, least, job.ranks.least_storing(), job.codecs.get(), job.device ? least_of_host : 0);
  });
}

EngineOptions engine_options(Job const& job) {
  EngineOptions engine = engine_options(job.options, *job.model, job.sizing, job.ranks, job.codecs, job.drift.get());
  engine.store.device = job.device.get();
  return engine;
}

EngineOptions engine_options(GenerateOptions const& options, Model const& model, Sizing const& sizing, RankPlan const& ranks,
                             std::shared_ptr<shards::PageCodecs const> codecs, shards::EncodeWatch* watch) {
  ModelConfig const& config = model.config();
  EngineOptions engine;
  engine.deadline_s = options.deadline_s;
  engine.coordinator = {options.rebalance_steps, ranks};
  engine.sequences = {options.batch, options.prefill_chunk, options.sampling, !options.logits.empty(), false, reserved_share(options, codecs.get())};
  shards::StoreOptions& store = engine.store;
  PageTables const tables = page_tables(options, config);
  store.layers = tables.all;
  store.tables_per_layer = tables.per_layer;
  store.q_heads = tables.q_heads;
  store.layout = tables.layout;
  engine.cache = cache_settings(options, config);
  store.page_masses = wants_masses(engine.cache);
  store.fingerprint = shards::page_fingerprint(model.fingerprint(), store.layout, codecs.get());
  store.coded_slots = sizing.coded;
  store.exact_blocks = exact_blocks(options);
  if (auto const cold = storage_choice(options).cold) store.cold_after = cold->after;
  store.codecs = std::move(codecs);
  store.encode_watch = watch;
  store.slots = sizing.slots;
  store.home_slots = sizing.home_slots;
  store.replica_slots = sizing.replica_slots;
  store.local = options.store == StoreMode::local;
  store.tiers = engine.sequences.fast.keep < 1;
  store.tier_host_bytes = sizing.tier_host_bytes;
  store.tier_folder = tier_folder(options);
  store.move = options.move;
  store.home = options.home;
  store.kv_experts = kv_experts(options, config);
  store.most_rows = std::max(options.prefill_chunk, options.batch);
  store.most_streams = options.batch;
  store.most_blocks = sizing.most_blocks;
  store.deadline_s = options.deadline_s;
  store.scrub_bytes_per_step = options.scrub;
  store.most_events = options.trace.empty() ? 0 : static_cast<std::size_t>(options.trace_events);
  store.migration_bytes = options.migration_bytes;
  store.skew = options.skew;
  store.skew_seed = options.sampling.seed;
  return engine;
}

int threads_per_rank(GenerateOptions const& options, comm::World& world) {
  int const sharing = comm::ranks_on_these_cores(world, world.in(options.deadline_s));
  if (options.threads > 0) return options.threads;
  if (std::getenv("OMP_NUM_THREADS") != nullptr) return omp_get_max_threads();
  return std::max(1, comm::usable_cores() / sharing);
}

}  // namespace pikv::runtime
