#include "runtime/watcher.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace pikv::runtime {

namespace {
constexpr comm::Rank not_shown = -1;   // Progress shows on rank 0 alone
}

Watcher::Watcher(comm::World& world, std::vector<Request> const& requests, std::string const& trace, RunMetadata const& metadata,
                 comm::FaultyWorld* faulty)
    : world_{world}, requests_{requests}, faulty_{faulty}, progress_{spdlog::should_log(spdlog::level::info) ? world.rank() : not_shown} {
  if (!trace.empty()) trace_ = std::make_unique<TraceWriter>(world, trace, metadata);
}

void Watcher::before_step(shards::Step step) {
  if (faulty_ != nullptr) faulty_->set_step(step);
}

void Watcher::control_slot(shards::Step step, std::vector<ControlState> const& states, Engine& engine) {
  last_ = {};
  last_.requests = static_cast<std::int64_t>(requests_.size());
  for (ControlState const& state : states) {
    last_.requests_done += static_cast<std::int64_t>(state.requests_done);
    last_.tokens += static_cast<std::int64_t>(state.tokens_generated);
  }
  double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
  last_.tokens_per_second = seconds > 0 ? static_cast<double>(last_.tokens) / seconds : 0;
  progress_.show(last_);
  if (!trace_ || step == 0 || step % trace_batch_steps != 0) return;
  add_faults(step);
  add_events(engine);
  trace_->write_batch();
}

void Watcher::planned(PlanRows const& rows) {
  if (trace_) trace_->add(rows);
}

void Watcher::after_step(StepRecord const& row, Engine& engine) {
  if (!trace_) return;
  trace_->add(row);
  sample_pages(row.step, engine);
  add_requests(engine);
}

void Watcher::close(Engine& engine, std::string const& ended) {
  progress_.finish(last_);
  if (!trace_) return;
  add_requests(engine);
  add_faults(engine.first_step() + engine.recorder().steps());
  add_events(engine);
  trace_->close(ended);
}

void Watcher::sample_pages(shards::Step step, Engine& engine) {
  if (step % (trace_batch_steps / 4) != 0) return;
  auto const pages = engine.store().owner().pages_by_home();
  for (std::size_t home = 0; home < pages.size(); ++home)
    if (pages[home] > 0) trace_->add(PagesByOwner{step, world_.rank(), static_cast<std::int32_t>(home), pages[home]});
}

void Watcher::add_requests(Engine& engine) {
  for (; requests_written_ < engine.results().size(); ++requests_written_) {
    Result const& result = engine.results()[requests_written_];
    if (result.ended_before) continue;   // the trace of that run has it
    trace_->add(request_record(requests_[static_cast<std::size_t>(result.index)].id, result));
  }
}

void Watcher::add_events(Engine& engine) {
  trace_->add(engine.store().events().rows());
  engine.store().arena().events().clear();
}

void Watcher::add_faults(shards::Step step) {
  if (faulty_ == nullptr) return;
  trace_->add(fault_record(step, world_.rank(), faulty_->fault_counts(), faults_written_));
  faults_written_ = faulty_->fault_counts();
}

}  // namespace pikv::runtime
