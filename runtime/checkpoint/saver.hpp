#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "comm/world.hpp"
#include "runtime/checkpoint/writer.hpp"
#include "runtime/engine.hpp"
#include "runtime/options.hpp"

namespace pikv::runtime {

/// When a job is saved, and when it stops for that: every N steps, and on a signal or when its time is nearly over.
class Saver {
 public:
  /// Collective. Makes options.checkpoint. Throws AgreedError where it cannot, where a rank does not see it, and where it holds checkpoints of
  /// another job, which would be taken for this one's: `continued` is the checkpoint that this job goes on from, empty if none.
  Saver(comm::World& world, GenerateOptions const& options, std::filesystem::path const& continued);

  /// For EngineHooks::stop.
  std::int32_t wants_to_stop() const;

  /// Collective, at the control slot: saves the job if it is time, or if it stops now.
  void control_slot(shards::Step step, Engine const& engine, shards::Store& store, std::vector<Request> const& requests, RestoredPages const* restored,
                    Model const& model);

 private:
  comm::World& world_;
  GenerateOptions const& options_;
  std::filesystem::path continued_;
  bool has_saved_ = false;
};

/// Date and time, UTC, ISO 8601.
std::string iso_time();

}  // namespace pikv::runtime
