#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "comm/nccl_device.hpp"
#include "comm/nccl_session.hpp"

namespace pikv::comm {

/// The windows of a world, and the session whose stream copies go over. A session of its own: one that fails in the middle of making a window ends
/// its communicator, and with it all that goes over it.
///
/// What NCCL promises, and what follows from it:
/// - From the device (2.28, nccl_device/gin.h): "Flush does not guarantee that data has settled in remote memory". That it has is known where a
///   signal has come, and a signal is read by a kernel of the rank that was put to. Nor has such a wait an end: an error of the network leaves
///   kernels waiting for ever (NVIDIA/nccl issue 2383).
/// - From the host (2.29, docs/userguide/source/api/p2p.rst): ncclPutSignal has ended when its source may be reused; that the bytes are there is
///   known to ncclWaitSignal of the rank that was put to, on a stream which stands still until then.
/// - A window's memory is mapped into the GPUs of the same LSA team: by loads, stores and copies of theirs they reach it as their own. A copy that a
///   stream has passed has landed; NCCL's own puts to such peers are a copy of the bytes and then one of the signal (src/rma/rma_ce.cc).
/// Transport::flush() must end without the other's help, since it may be busy with a collective call that waits for us in turn. So peers of the LSA
/// team are put to by copies, and those that only a network reaches are left to the transport below.
/// - Registering is collective and waits inside NCCL for all ranks. A size of 0 is not registered at all, and in 2.28 sizes that differ would give
///   the ranks of a team different places for the windows that follow (src/dev_runtime.cc, symMemoryObtain), so parts must be equal.
class NcclWindows {
 public:
  NcclWindows(std::shared_ptr<NcclSession> session, NcclDevice& device, double patience_s)
      : session_{std::move(session)}, device_{device}, patience_s_{patience_s} {}
  NcclWindows(NcclWindows const&) = delete;   // transports refer to it

  /// Collective: every rank brings memory of equal size. This rank's own part is not among what is reached. Nothing is reached where no window could
  /// be made: why_not() then says why, on every rank, and no other is made. Throws RunError where this rank waited for others in vain.
  NcclWindow open(std::span<std::byte> memory);
  void close(NcclWindow const& window) {
    if (!session_->ended()) device_.close_window(window);
  }

  NcclSession& session() { return *session_; }
  /// Other ranks that this one's GPU reaches; none: no window was made yet.
  std::optional<int> reached() const { return reached_; }
  std::string const& why_not() const { return why_not_; }
  void give_up(std::string why) { why_not_ = std::move(why); }

 private:
  std::shared_ptr<NcclSession> session_;
  NcclDevice& device_;
  double patience_s_;
  std::optional<int> reached_;
  std::string why_not_;
};

}  // namespace pikv::comm
