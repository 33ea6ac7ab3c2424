#pragma once

#include <memory>
#include <string>

#include "comm/gpu_placement.hpp"
#include "comm/nccl_connect.hpp"
#include "comm/setup.hpp"
#include "comm/world.hpp"

namespace pikv::comm {

/// A world like `inner` (which must outlive it, as it must outlive what it makes) whose exchanges go over NCCL. Of more than one rank.
class NcclWorld : public World {
 public:
  virtual World const& inner() const = 0;
};
/// Collective; connects the ranks, as connect_over_nccl(). Where that throws NotConnected, `inner` carries exchanges as before.
std::unique_ptr<NcclWorld> make_nccl_world(World& inner, std::unique_ptr<NcclDevice> device = nullptr, double patience_s = setup_seconds);

/// Why the exchanges of a world do not go over NCCL, for the end of a sentence; empty: they do. The same on every rank of one build.
std::string why_not_nccl(World const& world, GpuPlacement const& placement, bool built_in);

}  // namespace pikv::comm
