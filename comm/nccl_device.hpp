#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "comm/device_memory.hpp"
#include "comm/rank.hpp"

namespace pikv::comm {

/// What a rank tells the others so that they meet in one communicator.
using NcclId = std::array<std::byte, 128>;

/// Bytes in the GPU's memory on their way to or from a peer.
struct NcclTransfer {
  Rank peer = 0;
  std::byte* device = nullptr;
  std::size_t bytes = 0;
};

/// GPU memory of every rank, which the GPUs of some reach as if it were their own.
struct NcclWindow {
  void* registered = nullptr;
  std::vector<std::byte*> reach;   // [rank] where this GPU finds the rank's part; null: it does not reach it
};

/// The calls of NCCL and CUDA that exchanges and puts make, and no more: tests put a stand-in here. One communicator and one stream; what is queued
/// runs there in order. Nothing waits, for a peer or for the GPU, but where it says so. The main thread alone calls it. Failures: RunError.
class NcclDevice {
 public:
  virtual ~NcclDevice() = default;

  virtual DeviceMemory& memory() = 0;

  /// One rank's is used by all.
  virtual NcclId make_id() = 0;
  /// Begins a communicator, one after another.
  virtual void open(NcclId const& id, int ranks, Rank rank) = 0;
  /// False while NCCL is at work on open(), transfer() or finalize(): until then nothing else may be asked of it but abort(). Throws what NCCL
  /// says has gone wrong, then or since.
  virtual bool settled() = 0;

  /// Queued, as the three below. Host memory is pinned and stays as it is until the stream has passed.
  virtual void copy_in(std::byte* device, std::span<std::byte const> host) = 0;
  virtual void copy_out(std::span<std::byte> host, std::byte const* device) = 0;
  /// One group, whose transfers go on side by side. Transfers between two ranks are matched in their order and must be of equal sizes.
  virtual void transfer(std::span<NcclTransfer const> sends, std::span<NcclTransfer const> receives) = 0;
  /// Between this GPU's memory and that of a window, this rank's or a peer's. Once it has passed the bytes are there, for whoever is told so.
  virtual void copy_across(std::byte* to, std::byte const* from, std::size_t bytes) = 0;
  virtual void mark() = 0;
  /// The stream has got to the last mark.
  virtual bool passed() = 0;

  /// Begins to make a window, which every rank does together, of memory from nccl_memory() and of equal size. The memory stays allocated until
  /// close_window().
  virtual void open_window(std::span<std::byte> memory) = 0;
  /// The one begun last, once settled. Waits for the GPU: for set-up, under a guard.
  virtual NcclWindow opened() = 0;
  /// Nobody reaches into it any more.
  virtual void close_window(NcclWindow const& window) = 0;

  /// The orderly end, with the others: begin it, then close() once settled.
  virtual void finalize() = 0;
  virtual void close() = 0;
  /// Ends what is under way, a while after it has returned: the stream then passes. The communicator is gone.
  virtual void abort() noexcept = 0;
};

}  // namespace pikv::comm
