#include "runtime/engine.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "comm/error.hpp"
#include "runtime/agree.hpp"
#include "runtime/device_choice.hpp"

namespace pikv::runtime {

namespace {
constexpr int most_stalled_steps = 1000;   // pages leave their home in 3, damaged ones in a few dozen

/// Collective. Weights of all ranks for pages, whether they store now or not: their slots, divided by what these have in common.
std::vector<std::uint64_t> capacities(comm::World& world, EngineOptions const& options) {
  std::uint64_t const mine = shards::stream_pages(options.store);
  std::vector<std::uint64_t> all;
  std::uint64_t common = 0;
  for (comm::Bytes const& bytes : world.all_gather(std::as_bytes(std::span{&mine, 1}), world.in(options.deadline_s))) {
    all.push_back(comm::MessageReader{bytes}.value<std::uint64_t>());
    common = std::gcd(common, all.back());
  }
  for (std::uint64_t& capacity : all) capacity /= std::max<std::uint64_t>(common, 1);
  return all;
}

shards::StoreOptions with_weights(EngineOptions const& options, std::vector<std::uint64_t> const& capacity) {
  shards::StoreOptions store = options.store;
  if (store.local || !store.weights.empty()) return store;
  auto const& storing = options.coordinator.ranks.storing(options.first_step);
  store.weights = capacity;
  for (std::size_t rank = 0; rank < storing.size(); ++rank)
    if (!storing[rank]) store.weights[rank] = 0;
  return store;
}

/// Collective on a device, where it takes long and may fail on one rank alone.
std::unique_ptr<PlacedWeights const> placed_weights(comm::World& world, Model const& model, kernels::Device& device, double deadline_s) {
  if (device.is_host()) return std::make_unique<PlacedWeights const>(model, device);
  std::unique_ptr<PlacedWeights const> weights;
  agree(world, patience * deadline_s, [&] {
    try {
      weights = std::make_unique<PlacedWeights const>(model, device);
    } catch (std::runtime_error const& error) {
      throw RunError(std::string{"the model's weights could not be copied to the GPU ("} + error.what() + "); " + host_instead);
    }
  });
  return weights;
}
}  // namespace

Engine::Engine(comm::World& world, Model const& model, Tokenizer const* tokenizer, EngineOptions const& options,
               std::vector<Request const*> mine, EngineHooks hooks)
    : world_{world},
      options_{options},
      hooks_{std::move(hooks)},
      capacity_{capacities(world, options)},
      cache_{options.cache.trivial() ? nullptr : std::make_unique<CacheManager>(options.cache, options_.store)},
      store_{world, with_weights(options, capacity_), cache_.get()},
      weights_{placed_weights(world, model, store_.arena().device(), options.deadline_s)},
      experts_{world, model, *weights_, options.store.most_rows, options.deadline_s, clock_},
      forward_{model, *weights_, store_, experts_, clock_},
      control_{world, options.deadline_s, options.store},
      sequences_{store_, model.config(), tokenizer, options.sequences, world.rank(), std::move(mine), hooks_.logits, options.resumed, cache_.get()},
      recorder_{world.rank(), store_, control_, experts_, clock_} {
  bool const coordinates = options.coordinator.rebalance_steps > 0 || !options.coordinator.ranks.constant();
  if (world.rank() == 0 && coordinates && !options.store.local && world.size() > 1)
    coordinator_.emplace(options.coordinator, store_.placement(), capacity_, shards::slot_cost(options.store.layout));
}

void Engine::run() {
  world_.barrier(world_.in(options_.deadline_s));
  start_ = world_.now() - options_.first_clock_s;
  for (shards::Step number = options_.first_step; step(number); ++number) {}
}

ControlState Engine::state(shards::Step step) {
  ControlState mine;
  mine.oldest_step_in_flight = step;   // every transfer is waited for in the step that starts it
  mine.rows = batch_.rows();
  mine.idle = sequences_.idle() ? 1 : 0;
  mine.running = static_cast<std::int32_t>(sequences_.running());
  mine.blocks_read = sequences_.blocks_read();
  mine.stop = hooks_.stop ? hooks_.stop() : 0;
  mine.next_arrival = sequences_.next_arrival();
  auto const& storing = options_.coordinator.ranks.storing(step);
  auto const self = static_cast<std::size_t>(world_.rank());
  bool const stores = options_.store.local || self >= storing.size() || storing[self];   // without a plan every rank stores
  mine.capacity_pages = stores ? static_cast<std::int64_t>(store_.capacity()) : 0;
  mine.settled = store_.settled() ? 1 : 0;
  mine.reserved_pages = sequences_.reserved_pages(step);
  auto const heads = sequences_.heads(world_.now() - start_);
  for (std::size_t i = 0; i < std::min(heads.size(), mine.heads.size()); ++i)
    mine.heads[i] = {heads[i]->index, sequences_.pages_reserved(*heads[i])};
  mine.tokens_resident = recorder_.tokens_resident();
  mine.requests_done = sequences_.results().size();
  mine.tokens_generated = sequences_.generated();
  return mine;
}

bool Engine::step(shards::Step step) {
  if (hooks_.before_step) hooks_.before_step(step);
  store_.arena().events().at(step);
  double const begin = world_.now() - start_;
  clock_.enter(Stage::scheduling);
  if (next_placement_ && next_placement_->first_step == step) {
    store_.place(next_placement_->placement);
    next_placement_.reset();
  }
  sequences_.plan(batch_);
  store_.plan(batch_.segments);
  store_.arena().device().wait();   // a slot that is free for peers is one that no kernel reads (arena.hpp)
  ControlState const mine = state(step);
  shards::Step const every = options_.coordinator.rebalance_steps;
  if (every > 0 && step > 0 && step % every == 0 && !options_.store.local && world_.size() > 1) {
    shards::LoadReport loads = store_.report_loads();
    loads.bytes_by_locality = recorder_.totals().bytes_by_locality;
    control_.report(loads);
  }
  clock_.enter(Stage::communication);
  std::vector<ControlState> const& states = control_.exchange(step, mine, trouble_, store_);
  clock_.enter(Stage::scheduling);

  std::uint64_t tokens_everywhere = 0;
  std::int32_t rows_everywhere = 0, running_everywhere = 0, blocks_read_everywhere = 0;
  shards::Step oldest = step;
  for (ControlState const& state : states) {
    tokens_everywhere += state.tokens_resident;
    rows_everywhere += state.rows;
    running_everywhere += state.running;
    blocks_read_everywhere += state.blocks_read;
    oldest = std::min(oldest, state.oldest_step_in_flight);
  }
  bool const idle = all_idle(states);
  if (!idle) stopped_ = stop_in(states);
  recorder_.moment(tokens_everywhere);
  if (control_.published()) next_placement_ = control_.published();
  if (coordinator_) coordinate(step, states);
  if (hooks_.control_slot) hooks_.control_slot(step, states);
  if (idle || stopped_) {
    recorder_.finish();
    return false;
  }
  stalled_steps_ = rows_everywhere == 0 && running_everywhere > 0 && blocks_read_everywhere == 0 ? stalled_steps_ + 1 : 0;
  if (stalled_steps_ == most_stalled_steps)   // seen by all ranks alike
    throw AgreedError({1, "no sequence found room for its next page in " + std::to_string(most_stalled_steps) + " steps (step " +
                              std::to_string(step) + "); raise --kv-budget, or lower --batch"});
  std::size_t const starting = admitted(states, world_.rank(), store_.options().local);

  double encoded = store_.encode_seconds();
  store_.begin_step(step, oldest, batch_.segments);
  clock_.move(Stage::scheduling, Stage::codec, store_.encode_seconds() - encoded);   // of pages that cool
  std::span<float const> logits;
  if (rows_everywhere > 0)   // known to all ranks alike, so all make the layers' exchanges or none does
    logits = forward_.run(batch_, step);
  else if (running_everywhere == 0)
    wait_for_arrival(states);
  clock_.enter(Stage::communication);
  encoded = store_.encode_seconds();
  auto const damages = store_.end_step();
  clock_.enter(Stage::other);
  clock_.move(Stage::communication, Stage::codec, store_.encode_seconds() - encoded);
  double const end = world_.now() - start_;
  std::size_t const running = sequences_.running();
  store_.account_summaries(cache_ ? cache_->summary_bytes() : 0);
  recorder_.take_memory();
  try {
    sequences_.apply(batch_, logits, damages, step, end);
    if (cache_) {
      clock_.enter(Stage::scheduling);
      cache_->after_step(store_, batch_.segments);
    }
  } catch (std::exception const& error) {
    trouble_ = error.what();   // no other rank waits for this one here: all hear of it in the next control exchange
  }
  for (std::size_t i = 0; i < starting; ++i) sequences_.admit();
  clock_.enter(Stage::other);
  StepRecord const& row = recorder_.record(step, begin, end, batch_, running);
  if (hooks_.after_step) hooks_.after_step(row, store_);
  return true;
}

void Engine::coordinate(shards::Step step, std::vector<ControlState> const& states) {
  Coordinator::Seen seen{.loads = control_.reported()};
  for (ControlState const& state : states) {
    seen.settled = seen.settled && state.settled != 0;
    seen.room += state.capacity_pages - state.reserved_pages;
  }
  if (auto placement = coordinator_->decide(step, seen, hooks_.plan)) control_.publish(std::move(*placement));
}

void Engine::wait_for_arrival(std::vector<ControlState> const& states) {
  double first = std::numeric_limits<double>::infinity();
  for (ControlState const& state : states) first = std::min(first, state.heads[0].index >= 0 ? 0 : state.next_arrival);
  double const wait = std::min(first - (world_.now() - start_), options_.deadline_s / 4);
  if (wait > 0) world_.pause(wait);
}

}  // namespace pikv::runtime
