#pragma once

#include <cstdint>

#include "comm/function_ref.hpp"
#include "comm/world.hpp"

namespace pikv::comm {

class DeviceMemory;

struct InprocessOptions {
  int ranks = 1;
  std::uint64_t seed = 1;
  int ranks_per_host = 1 << 30;   // so that locality counts can be tested: rank r is on pretend host r / ranks_per_host
  DeviceMemory* device = nullptr;   // of all ranks, for Space::device; outlives them; null: gpu_memory()
};

/// Runs `body(world)` on every rank: `ranks` threads that pass a baton, one runs at a time, the next chosen by a seeded
/// scheduler at every wait. Virtual time: it stands still while anyone can run and jumps to the next event or
/// deadline when all wait. The same seed gives the same run. Rank 0 runs on the calling thread. Returns when all are
/// done; rethrows the exception of the rank that failed first (the others' waits then return peer_gone).
void run_inprocess(InprocessOptions const& options, FunctionRef<void(World&)> body);

}  // namespace pikv::comm
