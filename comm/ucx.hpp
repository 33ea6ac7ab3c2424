#pragma once

#include <memory>
#include <string>

#include "comm/transports.hpp"
#include "comm/world.hpp"

namespace pikv::comm {

/// False: rebuild with -DPIKV_UCX=ON.
bool ucx_built_in();
std::unique_ptr<World> make_ucx_world(WorldOptions const& options);
/// "1.13.1", or "not built in".
std::string ucx_version();

}  // namespace pikv::comm
