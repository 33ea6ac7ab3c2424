#include "runtime/build_info.hpp"

#include <fmt/format.h>
#include <hdf5.h>

#include "comm/device_memory.hpp"
#include "comm/mpi_world.hpp"
#include "comm/nccl.hpp"
#include "comm/transports.hpp"
#include "comm/ucx.hpp"
#include "kernels/attend.hpp"
#include "kernels/coded.hpp"
#include "kernels/swiglu.hpp"
#include "pikv_commit.hpp"
#include "runtime/model/sentencepiece.hpp"
#include "shards/names.hpp"

namespace pikv::runtime {
namespace {

std::string hdf5_version() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return fmt::format("{}.{}.{}", major, minor, release);
}

}  // namespace

std::string version() { return PIKV_VERSION; }

std::string commit() { return PIKV_COMMIT; }

std::vector<BuildFact> build_facts() {
  return {{"compiler", PIKV_COMPILER},
          {"MPI", comm::mpi_version()},
          {"UCX", comm::ucx_version()},
          {"HDF5", hdf5_version()},
          {"sentencepiece", sentencepiece_built_in() ? "built in" : "not built in"},
          {"CUDA", comm::cuda_version()},
          {"NCCL", comm::nccl_version()},
          {"transports", shards::names_in(comm::transports())},
          {"SIMD", kernels::host::simd_target()},
          {"SIMD of uncompressed bf16 pages", kernels::host::bf16_simd()},
          {"SIMD of pages of integers", kernels::host::coded_simd()}};
}

}  // namespace pikv::runtime
