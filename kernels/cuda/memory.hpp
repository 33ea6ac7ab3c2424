#pragma once

#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/stream.hpp"

namespace pikv::kernels::cuda {

/// Owns `bytes` of device memory, taken and given back in the order of its stream, which outlives it. Copies in have ended on return; what copy_out
/// reads is there when the stream has been synchronized.
class DeviceBuffer {
 public:
  DeviceBuffer(std::size_t bytes, Stream& stream);
  DeviceBuffer(DeviceBuffer&& from) noexcept
      : stream_{from.stream_}, bytes_{std::exchange(from.bytes_, 0)}, data_{std::exchange(from.data_, nullptr)} {}
  DeviceBuffer(DeviceBuffer const&) = delete;   // would hide a transfer
  ~DeviceBuffer();

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  void copy_in(std::span<std::byte const> host, std::size_t at = 0);
  void copy_out(std::span<std::byte> host) const;

 private:
  Stream* stream_;
  std::size_t bytes_;
  std::byte* data_ = nullptr;
};

/// A DeviceBuffer of `size` T. What a kernel takes is data().
template <class T>
class DeviceArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  DeviceArray(std::size_t size, Stream& stream) : buffer_{size * sizeof(T), stream} {}
  DeviceArray(std::span<T const> host, Stream& stream) : DeviceArray{host.size(), stream} { buffer_.copy_in(std::as_bytes(host)); }
  DeviceArray(std::vector<T> const& host, Stream& stream) : DeviceArray{std::span{host}, stream} {}

  T* data() const { return reinterpret_cast<T*>(buffer_.data()); }
  std::size_t size() const { return buffer_.bytes() / sizeof(T); }
  void copy_in(std::span<T const> host, std::size_t at = 0) { buffer_.copy_in(std::as_bytes(host), at * sizeof(T)); }
  void copy_out(std::span<T> host) const { buffer_.copy_out(std::as_writable_bytes(host)); }

 private:
  DeviceBuffer buffer_;
};

}  // namespace pikv::kernels::cuda
