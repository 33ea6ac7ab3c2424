#pragma once

#include "comm/inprocess_world.hpp"
#include "tests/shards/small_engine.hpp"

namespace pikv::shards::testing {

inline StoreOptions small_options() {
  StoreOptions options;
  options.layers = 2;
  options.q_heads = 4;
  options.layout = {kernels::DType::f32, 2, 4, 8};
  options.fingerprint = page_fingerprint({1, 2}, options.layout);
  options.slots = 400;
  options.home_slots = 150;
  options.most_rows = 16;
  options.most_streams = 4;
  options.most_blocks = 64;
  options.move = Move::query;
  return options;
}

struct Outcome {
  double worst = 0;
  std::uint64_t outputs = 0, rewinds = 0;
  Counts counts;
};

inline void add(Counts& sum, Counts const& part) {
  for (auto const count : {&Counts::tokens_appended, &Counts::pages_sealed, &Counts::pages_pushed, &Counts::pages_remote, &Counts::pages_acknowledged, &Counts::lost, &Counts::pages_fetched,
                           &Counts::page_reads, &Counts::local_reads, &Counts::replica_hits, &Counts::checked, &Counts::scrubbed, &Counts::corrupt, &Counts::stale,
                           &Counts::timeout, &Counts::refetched, &Counts::rewinds, &Counts::pages_moved, &Counts::moves_refused, &Counts::migration_bytes, &Counts::tier_reads,
                           &Counts::pages_demoted, &Counts::pages_promoted, &Counts::pages_recoded})
    sum.*count += part.*count;
}

/// Slots in which this rank has indexed pages of others.
inline std::vector<Slot> indexed_pages(Store& store) {
  std::vector<Slot> slots;
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(store.arena().slots(0)); ++i)
    if (store.owner().indexed({i}).home >= 0) slots.push_back({i});
  return slots;
}

/// Slots in which this rank holds sealed pages of its own streams, and copies.
inline std::vector<Slot> own_pages(Store& store) {
  std::vector<Slot> slots;
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(store.arena().slots(0)); ++i)
    if (Slot const slot{i}; store.owner().indexed(slot).home < 0 && store.arena().booked(slot) && store.arena().header(slot).state == PageState::ready)
      slots.push_back(slot);
  return slots;
}

/// The small engine on one rank of `world`; sums into `outcome` (ranks in process run one at a time).
inline void run_on(comm::World& world, StoreOptions const& options, SmallEngine::Plan const& plan, Outcome& outcome) {
  Store store{world, options};
  SmallEngine engine{world, store, plan};
  engine.run();
  outcome.worst = std::max(outcome.worst, engine.worst);
  outcome.outputs += engine.outputs;
  outcome.rewinds += engine.rewinds;
  add(outcome.counts, store.counts());
}

inline Outcome run(int ranks, StoreOptions const& options, SmallEngine::Plan const& plan, std::uint64_t seed = 1) {
  Outcome outcome;
  comm::run_inprocess({.ranks = ranks, .seed = seed}, [&](comm::World& world) { run_on(world, options, plan, outcome); });
  return outcome;
}

}  // namespace pikv::shards::testing
