#include "tests/runtime/engine/harness.hpp"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "comm/inprocess_world.hpp"
#include "runtime/model/model.hpp"
#include "runtime/page_storage.hpp"
#include "runtime/setup.hpp"
#include "runtime/sizing.hpp"

namespace pikv::test {

namespace {

void add(Decoded& sum, Decoded&& part) {
  sum.results.merge(part.results);
  sum.logits.merge(part.logits);
  std::ranges::move(part.steps, std::back_inserter(sum.steps));
  sum.counts.pages_sealed += part.counts.pages_sealed;
  sum.counts.pages_remote += part.counts.pages_remote;
  sum.counts.pages_fetched += part.counts.pages_fetched;
  sum.counts.rewinds += part.counts.rewinds;
  sum.counts.pages_moved += part.counts.pages_moved;
  sum.counts.moves_refused += part.counts.moves_refused;
  sum.counts.migration_bytes += part.counts.migration_bytes;
  sum.counts.pages_evicted += part.counts.pages_evicted;
  sum.counts.cells_evicted += part.counts.cells_evicted;
  sum.counts.page_reads += part.counts.page_reads;
  sum.counts.tier_reads += part.counts.tier_reads;
  sum.counts.corrupt += part.counts.corrupt;
  sum.counts.pages_recoded += part.counts.pages_recoded;
  sum.counts.lost += part.counts.lost;
}

}   // namespace

Decoded decode_on(comm::World& world, runtime::GenerateOptions const& options, std::span<runtime::Request const> requests, Watch const& watch) {
  omp_set_num_threads(1);
  auto const model = runtime::Model::load(options.model, world.rank(), world.size());
  auto const tokenizer = runtime::make_tokenizer(options.model, model.config());
  auto const codecs = runtime::make_page_storage(options, model.config(), watch.calibration).codecs;
  runtime::RankPlan ranks{world.size(), options.active_ranks > 0 ? options.active_ranks : world.size()};
  if (!watch.rank_plan.empty()) ranks.read(watch.rank_plan, "the plan");
  auto const sizing =
      runtime::size_store(options, model.config(), requests, world.size(), world.size(), std::uint64_t{1} << 30, ranks.least_storing(), codecs.get());
  std::vector<runtime::Request const*> mine;
  for (runtime::Request const& request : requests)
    if (request.index % world.size() == world.rank()) mine.push_back(&request);

  Decoded decoded;
  decoded.steps.resize(1);
  decoded.steps[0].reserve(4096);   // the hooks allocate nothing, so that what the engine allocates can be counted
  runtime::EngineHooks hooks;
  if (watch.before_step) hooks.before_step = [&](shards::Step step) { watch.before_step(world, step); };
  hooks.after_step = [&](runtime::StepRecord const& row, shards::Store& store) {
    if (watch.after_step) watch.after_step(world, row, store);
    decoded.steps[0].push_back(row);
  };
  if (watch.logits)
    hooks.logits = [&](runtime::Request const& request, std::int64_t position, std::span<float const> row) {
      decoded.logits[{request.index, position}].assign(row.begin(), row.end());
    };
  if (watch.plan) hooks.plan = watch.plan;
  auto const device = watch.device != nullptr ? watch.device() : nullptr;
  auto engine_options = runtime::engine_options(options, model, sizing, ranks, codecs);
  engine_options.store.device = device.get();
  engine_options.sequences.all_positions = watch.logits;
  runtime::Engine engine{world, model, tokenizer.get(), engine_options, mine, hooks};
  EXPECT_EQ(engine.store().arena().device().is_host(), device == nullptr);
  if (watch.probe) engine.watch(watch.probe(world, engine.store()));
  engine.run();
  for (runtime::Result& result : engine.results()) decoded.results.emplace(result.index, std::move(result));
  decoded.counts = engine.store().counts();
  return decoded;
}

Decoded decode(runtime::GenerateOptions const& options, std::span<runtime::Request const> requests, Watch const& watch) {
  std::vector<Decoded> parts(static_cast<std::size_t>(options.in_process));
  comm::run_inprocess({.ranks = options.in_process, .seed = options.schedule_seed, .device = watch.memory}, [&](comm::World& world) {
    parts[static_cast<std::size_t>(world.rank())] = decode_on(world, options, requests, watch);
  });
  Decoded all;
  for (Decoded& part : parts) add(all, std::move(part));
  return all;
}

runtime::GenerateOptions options_for(std::filesystem::path const& dir, int ranks) {
  runtime::GenerateOptions options;
  options.model = dir.string();
  options.in_process = ranks;
  options.kv_dtype = kernels::DType::f32;
  return options;
}

std::vector<std::string> in_small_form_only(std::vector<std::string> all, std::set<std::string> const& few) {
  for (std::string const& name : few)
    if (std::ranges::find(all, name) == all.end()) throw std::logic_error("there is no " + name + " to run alone in the small form");
  if (small_form()) std::erase_if(all, [&](std::string const& each) { return !few.contains(each); });
  return all;
}

}   // namespace pikv::test
