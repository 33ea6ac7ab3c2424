#pragma once

namespace pikv::comm {

/// Cores this process may run on: fewer than the machine has where mpirun, srun or taskset bound it.
int usable_cores();

}  // namespace pikv::comm
