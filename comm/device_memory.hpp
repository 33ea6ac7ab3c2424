#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "comm/zeroed_memory.hpp"

namespace pikv::comm {

/// What a transport needs of this rank's GPU. Copies have ended on return; they do not wait for kernels. From any thread. Failures: RunError.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  /// Why it is not there and what to do, for the end of a sentence; empty: it is there.
  virtual std::string why_absent() const = 0;
  /// A CUDA-aware library may be handed its addresses.
  virtual bool is_cuda() const = 0;

  /// Zeroed. At least one byte.
  virtual std::byte* allocate(std::size_t bytes) = 0;
  virtual void free(std::byte* device) noexcept = 0;
  /// Host memory that stays in place from here to unpin(): copies with it run at full speed.
  virtual void pin(std::span<std::byte> host) = 0;
  virtual void unpin(std::byte* host) noexcept = 0;
  virtual void copy_in(std::byte* device, std::span<std::byte const> host) = 0;
  virtual void copy_out(std::span<std::byte> host, std::byte const* device) = 0;
};

/// This process's: the CUDA device that is current when it is first asked for. The same object every time.
DeviceMemory& gpu_memory();

/// Of CUDA's runtime, "13.0"; or "not built in".
std::string cuda_version();

struct GpusFound {
  int count = 0;
  std::string trouble;   // why CUDA cannot tell, in its words; empty: it can
};
/// Nothing where CUDA is not built in. Uses no memory of theirs.
std::optional<GpusFound> gpus_found();

/// Host memory pinned for as long as it lives, on pages of its own: a page is pinned once.
class PinnedBuffer {
 public:
  PinnedBuffer(DeviceMemory& device, std::size_t bytes) : device_{device}, memory_{bytes}, bytes_{memory_.data(), bytes} { device_.pin(bytes_); }
  ~PinnedBuffer() { device_.unpin(bytes_.data()); }
  PinnedBuffer(PinnedBuffer const&) = delete;   // the device knows its address
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  DeviceMemory& device_;
  ZeroedMemory memory_;
  std::span<std::byte> bytes_;
};

}  // namespace pikv::comm
