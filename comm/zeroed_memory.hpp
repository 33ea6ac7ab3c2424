#pragma once

#include <cstddef>
#include <utility>

namespace pikv::comm {

/// Owns zeroed, page-aligned memory that becomes resident only where it is touched.
class ZeroedMemory {
 public:
  ZeroedMemory() = default;
  /// Throws RunError that says how much was asked for.
  explicit ZeroedMemory(std::size_t bytes);
  ZeroedMemory(ZeroedMemory&& from) noexcept : data_{std::exchange(from.data_, nullptr)}, bytes_{std::exchange(from.bytes_, 0)} {}
  ZeroedMemory& operator=(ZeroedMemory&& from) noexcept {
    std::swap(data_, from.data_);
    std::swap(bytes_, from.bytes_);
    return *this;
  }
  ~ZeroedMemory();
  std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace pikv::comm
