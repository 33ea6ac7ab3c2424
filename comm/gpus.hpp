#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "comm/gpu_placement.hpp"
#include "comm/numa.hpp"
#include "comm/world.hpp"

namespace pikv::comm {

/// Collective, before anything else of CUDA: every rank takes a GPU of its host as place_on_gpus() says, which is this process's from then on.
/// The same on every rank, complaints included: one rank says them.
GpuPlacement take_gpus(World& world, Deadline deadline, NumaNodes const& numa = NumaNodes{});

/// What a rank tells the others of where it runs, its host left out, and what they read of it.
std::string site_as_json(RankSite const& site);
RankSite site_in_json(std::string_view text);

/// Bus ids of the GPUs that this process sees, in CUDA's order; none where there are none or CUDA is not built in. Uses no memory of theirs.
std::vector<std::string> gpus_seen();
/// Makes the one of this place the process's.
void use_gpu(int place);

}  // namespace pikv::comm
