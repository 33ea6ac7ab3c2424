#pragma once

#include <memory>

#include "comm/error.hpp"
#include "comm/nccl_session.hpp"

namespace pikv::comm {

/// Agreed on: thrown by every rank alike.
struct NotConnected : RunError {
  using RunError::RunError;
};

/// Collective. What goes wrong in `local` on some rank is thrown by all, as NotConnected with the trouble of the lowest such rank. Any other RunError
/// is one rank's own, that waited for the others in vain for `patience_s`.
void together(World& world, double patience_s, FunctionRef<void()> local);

/// Collective: connects the ranks, or throws as together() if that was not done within some `patience_s`. `device` is this rank's, and null stands
/// for make_nccl_device(), which is put there.
std::shared_ptr<NcclSession> connect_over_nccl(World& world, std::unique_ptr<NcclDevice>& device, double patience_s);

}  // namespace pikv::comm
