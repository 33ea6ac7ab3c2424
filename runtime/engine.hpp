#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/cache_manager.hpp"
#include "runtime/control.hpp"
#include "runtime/coordinator/coordinator.hpp"
#include "runtime/experts.hpp"
#include "runtime/forward.hpp"
#include "runtime/recorder.hpp"
#include "runtime/sequences.hpp"
#include "runtime/stage_clock.hpp"
#include "runtime/stop.hpp"
#include "shards/store.hpp"

namespace pikv::runtime {

struct EngineOptions {
  shards::StoreOptions store;
  SequenceOptions sequences;
  CacheSettings cache;
  CoordinatorOptions coordinator;
  double deadline_s = 30;
  shards::Step first_step = 0;        // a job that goes on from a checkpoint counts on,
  double first_clock_s = 0;           // and so does its clock
  Resumed const* resumed = nullptr;   // borrowed
};

/// What a caller may do at fixed places of a step. All are optional.
struct EngineHooks {
  std::function<void(shards::Step)> before_step;                                       // every rank, in the same step
  std::function<void(shards::Step, std::vector<ControlState> const&)> control_slot;    // after the control exchange: collectives are allowed
  std::function<void(StepRecord const&, shards::Store&)> after_step;
  LogitsObserver logits;
  std::function<std::int32_t()> stop;                                                  // why this rank wants to stop (stop.hpp); 0: it does not
  std::function<void(PlanRows const&)> plan;                                           // rank 0: a plan was made, adopted or not
};

/// The step of design 4 on one rank, all ranks together: control exchange, the model, sampling, sealing and pushing, until every rank
/// is idle.
class Engine {
 public:
  /// Collective. `mine`: requests of this home, kept by the caller.
  Engine(comm::World& world, Model const& model, Tokenizer const* tokenizer, EngineOptions const& options, std::vector<Request const*> mine,
         EngineHooks hooks);

  /// Runs to the end, or until a rank wants to stop: then the last thing that happens is the control slot of that step. What a rank throws alone while it takes tokens ends all ranks at the next control exchange with AgreedError.
  void run();

  /// Who stopped it and why; nothing if it came to its end.
  std::optional<Stop> const& stopped() const { return stopped_; }
  /// At the control slot.
  HomeState state_of_home() const { return sequences_.state(); }
  double clock() const { return world_.now() - start_; }
  shards::Step first_step() const { return options_.first_step; }

  std::vector<Result>& results() { return sequences_.results(); }
  /// `probe`, borrowed, looks on from the next step.
  void watch(LayerProbe* probe) {
    forward_.watch(probe);
    sequences_.watch(probe);
  }
  Recorder const& recorder() const { return recorder_; }
  shards::Store& store() { return store_; }

 private:
  ControlState state(shards::Step step);
  /// False when every rank is idle.
  bool step(shards::Step step);
  void coordinate(shards::Step step, std::vector<ControlState> const& states);
  void wait_for_arrival(std::vector<ControlState> const& states);

  comm::World& world_;
  EngineOptions options_;
  EngineHooks hooks_;
  StageClock clock_;
  std::vector<std::uint64_t> capacity_;   // by rank
  std::unique_ptr<CacheManager> cache_;   // null where everything is kept and read
  shards::Store store_;
  std::unique_ptr<PlacedWeights const> weights_;
  Experts experts_;
  Forward forward_;
  Control control_;
  Sequences sequences_;
  Recorder recorder_;
  std::optional<Coordinator> coordinator_;       // on rank 0, if there is anything to coordinate
  std::optional<PublishedPlacement> next_placement_;
  Batch batch_;
  std::string trouble_;
  std::optional<Stop> stopped_;
  int stalled_steps_ = 0;   // in a row, with sequences running and no rows anywhere
  double start_ = 0;   // of the job's clock, on the world's
};

}  // namespace pikv::runtime
