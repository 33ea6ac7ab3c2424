#include "comm/hdf5_access.hpp"

#include "comm/error.hpp"
#include "comm/faults.hpp"
#include "comm/mpi_context.hpp"
#include "comm/nccl_world.hpp"

namespace pikv::comm {
namespace {

MpiWorld const* mpi_world_of(World const& world) {
  if (auto const* const faulty = dynamic_cast<FaultyWorld const*>(&world)) return mpi_world_of(faulty->inner());
  if (auto const* const nccl = dynamic_cast<NcclWorld const*>(&world)) return mpi_world_of(nccl->inner());
  return dynamic_cast<MpiWorld const*>(&world);
}

}  // namespace

hid_t hdf5_file_access(World const& world) {
  hid_t const access = H5Pcreate(H5P_FILE_ACCESS);
  MpiWorld const* const mpi = mpi_world_of(world);
  if (access < 0 || (mpi != nullptr && H5Pset_fapl_mpio(access, mpi->data_comm(), MPI_INFO_NULL) < 0))
    throw RunError("could not set up HDF5 for a file of all ranks; is this HDF5 built with the same MPI?");
  return access;
}

hid_t hdf5_transfer(World const& world) {
  hid_t const transfer = H5Pcreate(H5P_DATASET_XFER);
  if (transfer < 0 || (mpi_world_of(world) != nullptr && H5Pset_dxpl_mpio(transfer, H5FD_MPIO_COLLECTIVE) < 0))
    throw RunError("could not set up HDF5 for collective transfers; is this HDF5 built with the same MPI?");
  return transfer;
}

}  // namespace pikv::comm
