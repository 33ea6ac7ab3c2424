#pragma once

#include <hdf5.h>

#include "comm/world.hpp"

namespace pikv::comm {

/// File access property list for a file that all ranks of `world` open together: MPI-IO over MPI (collective open),
/// the plain driver in process and alone (then only rank 0 opens it). Caller closes it with H5Pclose.
hid_t hdf5_file_access(World const& world);
/// Transfer property list: collective over MPI, default otherwise. Caller closes it.
hid_t hdf5_transfer(World const& world);

}  // namespace pikv::comm
