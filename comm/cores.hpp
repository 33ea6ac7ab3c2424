#pragma once

#include "comm/world.hpp"

namespace pikv::comm {

/// Cores this process may run on: fewer than the machine has where mpirun, srun or taskset bound it.
int usable_cores();

/// Collective. How many ranks of this host, this one included, were given the same cores.
int ranks_on_these_cores(World& world, Deadline deadline);

}  // namespace pikv::comm
