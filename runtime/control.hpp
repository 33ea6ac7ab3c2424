#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "comm/world.hpp"
#include "runtime/coordinator/coordinator.hpp"
#include "shards/store.hpp"

namespace pikv::runtime {

/// A request that has arrived and waits.
struct Head {
  std::int64_t index = -1;   // of the input; -1: none
  std::int64_t pages = 0;    // that it needs in the long run
};

/// What each rank tells all others once a step, at one place.
struct ControlState {
  shards::Step oldest_step_in_flight = 0;
  std::int32_t rows = 0;                        // it brings to this step
  std::int32_t idle = 0;                        // 1: nothing runs and nothing waits
  std::int32_t running = 0;                     // sequences
  std::int32_t blocks_read = 0;                 // from a checkpoint, in the plan of this step
  std::int32_t stop = 0;                        // why this rank wants the job to stop, see stop.hpp; 0: it does not
  std::int32_t settled = 1;                     // 0: pages of this home are on their way to other owners
  double next_arrival = std::numeric_limits<double>::infinity();   // of a waiting request, on the job's clock
  std::int64_t capacity_pages = 0, reserved_pages = 0;   // capacity: 0 of a rank that is to store nothing
  std::array<Head, 8> heads;                    // the first that wait and would have a place in the batch, in order
  std::uint64_t tokens_resident = 0;            // at the end of the last step
  std::uint64_t requests_done = 0, tokens_generated = 0;
};

/// The control exchange: the state above, trouble, the store's part (slots granted, pushes sent and indexed, drops, moves), rank 0's
/// placement to all, everyone's loads to rank 0; the last two only when there is one.
class Control {
 public:
  Control(comm::World& world, double deadline_s, shards::StoreOptions const& store);

  /// Returns the states by rank, valid until the next call. `trouble`: what this rank cannot go on from; then every rank throws
  /// AgreedError (code 1) with the sentence of the lowest rank that has one.
  std::vector<ControlState> const& exchange(shards::Step step, ControlState const& mine, std::string const& trouble, shards::Store& store);

  /// Rank 0: the next exchange carries it to all.
  void publish(PublishedPlacement placement) { to_publish_ = std::move(placement); }
  /// What the last exchange carried.
  std::optional<PublishedPlacement> const& published() const { return published_; }
  /// The next exchange carries it to rank 0. All ranks report for the same exchange.
  void report(shards::LoadReport const& loads) { to_report_ = loads; }
  /// On rank 0: what the last exchange carried, by rank; empty: nothing.
  std::vector<shards::LoadReport> const& reported() const { return reported_; }

  comm::Exchange const& channel() const { return *exchange_; }

 private:
  comm::World& world_;
  double deadline_s_;
  std::unique_ptr<comm::Exchange> exchange_;
  std::vector<ControlState> states_;
  std::optional<PublishedPlacement> to_publish_, published_;
  std::optional<shards::LoadReport> to_report_;
  std::vector<shards::LoadReport> reported_;
};

bool all_idle(std::vector<ControlState> const& states);

/// How many of the rank's heads may start: those of all ranks in order of index, as far as all capacity less all reservations goes; a smaller
/// request behind does not overtake (store local: the own ones, as far as the own rank's goes).
std::size_t admitted(std::vector<ControlState> const& states, comm::Rank rank, bool local);

}  // namespace pikv::runtime
