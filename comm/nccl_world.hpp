#pragma once

#include <memory>
#include <string>

#include "comm/error.hpp"
#include "comm/gpu_placement.hpp"
#include "comm/nccl_device.hpp"
#include "comm/setup.hpp"
#include "comm/world.hpp"

namespace pikv::comm {

/// A world like `inner` (which must outlive it, as it must outlive what it makes) whose exchanges go over NCCL. Of more than one rank.
class NcclWorld : public World {
 public:
  virtual World const& inner() const = 0;
};
/// Agreed on: thrown by every rank alike.
struct NotConnected : RunError {
  using RunError::RunError;
};
/// Collective; connects the ranks. Throws NotConnected, with the trouble of the lowest rank in trouble, if they were not connected within some
/// `patience_s`: then `inner` carries exchanges as before. Any other RunError is one rank's own, that waited for the others in vain. `device` is this rank's, and null stands for make_nccl_device().
std::unique_ptr<NcclWorld> make_nccl_world(World& inner, std::unique_ptr<NcclDevice> device = nullptr, double patience_s = setup_seconds);

/// Why the exchanges of a world do not go over NCCL, for the end of a sentence; empty: they do. The same on every rank of one build.
std::string why_not_nccl(World const& world, GpuPlacement const& placement, bool built_in);

}  // namespace pikv::comm
