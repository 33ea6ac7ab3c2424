#pragma once

#include <array>
#include <cstdint>

#include "runtime/batch.hpp"
#include "runtime/control.hpp"
#include "runtime/experts.hpp"
#include "runtime/stage_clock.hpp"
#include "runtime/statistics.hpp"
#include "shards/store.hpp"

namespace pikv::runtime {

/// Turns the counters of store, exchanges and transport, which only grow, into a row per step and the sums of the run.
class Recorder {
 public:
  Recorder(comm::Rank rank, shards::Store const& store, Control const& control, Experts const& experts, StageClock const& clock);

  /// After end_step, before ended requests give their pages back: the memory that record() and moment() tell of.
  void take_memory();
  std::uint64_t tokens_resident() const { return last_.tokens_resident; }
  /// The step that just ended.
  StepRecord const& record(shards::Step step, double begin, double end, Batch const& batch, std::size_t sequences);
  /// Keeps the memory of the last step if all ranks together then had more tokens resident than ever before.
  void moment(std::uint64_t tokens_resident_everywhere);

  /// After the last control exchange, which belongs to no step.
  void finish() { read_counters(); }

  Totals const& totals() const { return now_; }
  MemoryMoment const& memory() const { return moment_; }
  std::int64_t steps() const { return steps_; }
  double seconds() const { return last_end_ - first_begin_; }

 private:
  struct Channel {
    Purpose purpose;
    comm::Exchange const& exchange;
  };
  std::array<Channel, 5> channels() const;
  void read_counters();

  comm::Rank rank_;
  shards::Store const& store_;
  Control const& control_;
  Experts const& experts_;
  StageClock const& clock_;
  Totals now_, before_;
  std::array<std::uint64_t, purposes> messages_{}, messages_before_{};
  shards::Counts counts_, counts_before_;
  std::uint64_t events_dropped_ = 0;
  StepRecord row_;
  MemoryMoment moment_, last_;
  std::uint32_t pages_home_ = 0, pages_owned_ = 0;
  std::uint64_t most_tokens_ = 0;
  std::int64_t steps_ = 0;
  double first_begin_ = 0, last_end_ = 0;
};

}  // namespace pikv::runtime
