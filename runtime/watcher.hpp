#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/faults.hpp"
#include "comm/world.hpp"
#include "runtime/engine.hpp"
#include "runtime/progress.hpp"
#include "runtime/trace.hpp"

namespace pikv::runtime {

/// Progress and trace of a running engine.
class Watcher {
 public:
  /// Collective. `trace`: its file's name, empty for none; `faulty`: null without a fault plan.
  Watcher(comm::World& world, std::vector<Request> const& requests, std::string const& trace, RunMetadata const& metadata, comm::FaultyWorld* faulty);

  void before_step(shards::Step step);
  /// Collective.
  void control_slot(shards::Step step, std::vector<ControlState> const& states, Engine& engine);
  void planned(PlanRows const& rows);
  void after_step(StepRecord const& row, Engine& engine);
  /// Collective, once, after the run. `ended`: "finished", or what stopped it.
  void close(Engine& engine, std::string const& ended);

 private:
  void sample_pages(shards::Step step, Engine& engine);
  void add_requests(Engine& engine);
  void add_events(Engine& engine);
  void add_faults(shards::Step step);

  comm::World& world_;
  std::vector<Request> const& requests_;
  comm::FaultyWorld* faulty_;
  comm::FaultCounts faults_written_;
  Progress progress_;
  std::unique_ptr<TraceWriter> trace_;
  ProgressState last_;
  std::size_t requests_written_ = 0;
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace pikv::runtime
