#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "kernels/buffer.hpp"

namespace pikv::shards {

/// Host memory for payloads on their way between a device and a transport: pieces stay where they are until clear(), and are used again after it.
class Staging {
 public:
  explicit Staging(kernels::Device& device) : device_{device} {}
  std::span<std::byte> take(std::size_t bytes) {
    if (used_ == pieces_.size()) pieces_.emplace_back(device_);
    return pieces_[used_++].resize(bytes);
  }
  void clear() { used_ = 0; }

 private:
  kernels::Device& device_;
  std::vector<kernels::HostBuffer<std::byte>> pieces_;
  std::size_t used_ = 0;
};

}  // namespace pikv::shards
