#pragma once

#include <map>
#include <memory>
#include <string_view>

#include "comm/world.hpp"

namespace pikv::comm {

class DeviceMemory;

/// How one-sided transfers and heartbeats go on while the main thread computes (UCX alone; MPI's progress is its own).
struct ProgressThread {
  bool on = true;    // off: progress inside waits only, and no heartbeats
  int core = -1;     // >= 0: pinned to this core and polling all the time; else it looks once a millisecond
};

struct WorldOptions {
  int threads_per_rank = 1;     // a wait yields the core when ranks on this host x threads per rank >= cores
  ProgressThread progress;
  double silence_s = 15;        // a peer that sent nothing for so long, not even a heartbeat, is gone
  DeviceMemory* device = nullptr;   // this rank's GPU, for Space::device (UCX alone); outlives the world; null: gpu_memory()
};

struct TransportEntry {
  std::string_view sentence;   // for `pikv list transports`
  std::unique_ptr<World> (*make)(WorldOptions const&);
};

/// What --transport takes in this build.
std::map<std::string_view, TransportEntry> const& transports();

}  // namespace pikv::comm
