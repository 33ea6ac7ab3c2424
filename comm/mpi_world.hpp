#pragma once

#include <memory>
#include <string>

#include "comm/transports.hpp"
#include "comm/world.hpp"

namespace pikv::comm {

/// MPI_Init_thread(FUNNELED) on construction, MPI_Finalize on destruction; one at a time per process. Only the main thread calls it.
std::unique_ptr<World> make_mpi_world(WorldOptions const& options);

/// How many ranks mpirun or srun says it started; 0: says nothing.
int launched_ranks();
/// True when mpirun or srun started this process as one of several (OMPI_COMM_WORLD_SIZE, PMIX_RANK, SLURM_STEP_NUM_TASKS ...).
bool launched_by_mpi();

/// "Open MPI 4.1.4, MPI 3.1, thread level funneled" for --version. Needs no MPI_Init.
std::string mpi_version();

}  // namespace pikv::comm
