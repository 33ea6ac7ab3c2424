#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace pikv::shards {

/// Host memory for payloads on their way between a device and a transport: pieces stay where they are until clear(), and are used again after it.
class Staging {
 public:
  std::span<std::byte> take(std::size_t bytes) {
    if (used_ == pieces_.size()) pieces_.emplace_back();
    std::vector<std::byte>& piece = pieces_[used_++];
    piece.resize(bytes);
    return piece;
  }
  void clear() { used_ = 0; }

 private:
  std::vector<std::vector<std::byte>> pieces_;
  std::size_t used_ = 0;
};

}  // namespace pikv::shards
