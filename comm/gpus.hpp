#pragma once

#include <string>
#include <vector>

#include "comm/gpu_placement.hpp"
#include "comm/numa.hpp"
#include "comm/world.hpp"

namespace pikv::comm {

/// Collective, before anything else of CUDA: every rank takes a GPU of its host by its turn there, which is this process's from then on.
/// The same on every rank, complaints included: one rank says them.
GpuPlacement take_gpus(World& world, Deadline deadline, NumaNodes const& numa = NumaNodes{});

/// Bus ids of the GPUs that this process sees, in CUDA's order; none where there are none or CUDA is not built in. Uses no memory of theirs.
std::vector<std::string> gpus_seen();
/// Makes the one of this place the process's.
void use_gpu(int place);

}  // namespace pikv::comm
