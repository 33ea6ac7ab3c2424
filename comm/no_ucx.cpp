#include "comm/error.hpp"
#include "comm/ucx.hpp"

namespace pikv::comm {

bool ucx_built_in() { return false; }

std::unique_ptr<World> make_ucx_world(WorldOptions const&) {
  throw InputError("--transport=ucx needs UCX, which this build is without; rebuild with -DPIKV_UCX=ON, or choose --transport mpi");
}

std::string ucx_version() { return "not built in"; }

}  // namespace pikv::comm
