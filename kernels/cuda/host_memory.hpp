#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>

#include "kernels/stream.hpp"

namespace pikv::kernels::cuda {

/// Memory of the processor's that a GPU copies from and to at full speed, beside the processor's work: pinned, or plain where no more can be pinned. Aligned
/// to 256 bytes.
class HostMemory {
 public:
  std::byte* allocate(std::size_t bytes);   // null for 0
  void free(std::byte* at) noexcept;
  /// The most at any time of what could not be pinned.
  std::uint64_t most_plain_bytes() const { return most_plain_bytes_; }

 private:
  std::map<std::byte*, std::size_t> plain_;   // bytes
  std::uint64_t plain_bytes_ = 0, most_plain_bytes_ = 0;
};

/// Pinned memory where small copies to the GPU begin, so that nobody waits for them: used again from its start once all of them are done.
class Staged {
 public:
  explicit Staged(HostMemory& memory) : memory_{memory} {}
  Staged(Staged const&) = delete;   // owns memory
  ~Staged() { memory_.free(at_); }

  bool takes(std::size_t bytes) const { return bytes <= most_bytes; }
  bool has_room(std::size_t bytes) const { return used_ + bytes <= room; }
  /// A copy of `bytes`, for which there is room.
  std::byte const* put(std::span<std::byte const> bytes);
  void clear() { used_ = 0; }

 private:
  static constexpr std::size_t room = std::size_t{2} << 20, most_bytes = room / 8;

  HostMemory& memory_;
  std::byte* at_ = nullptr;
  std::size_t used_ = 0;
};

}  // namespace pikv::kernels::cuda
