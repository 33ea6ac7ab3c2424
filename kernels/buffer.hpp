#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/device.hpp"

namespace pikv::kernels {

/// Memory of a device for T that is kept from use to use and grows as a vector does, without keeping its values. The device outlives it.
template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit Buffer(Device& device) : device_{&device} {}
  Buffer(Buffer&& from) noexcept
      : device_{from.device_}, data_{std::exchange(from.data_, nullptr)}, size_{std::exchange(from.size_, 0)}, room_{std::exchange(from.room_, 0)} {}
  Buffer(Buffer const&) = delete;   // would hide a transfer
  ~Buffer() { device_->free(reinterpret_cast<std::byte*>(data_)); }

  T* resize(std::size_t size) {
    if (size > room_) {
      device_->free(reinterpret_cast<std::byte*>(std::exchange(data_, nullptr)));
      std::size_t const room = std::max(size, 2 * std::exchange(room_, 0));
      data_ = reinterpret_cast<T*>(device_->allocate(room * sizeof(T)));
      room_ = room;
    }
    size_ = size;
    return data_;
  }
  T* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  Device* device_;
  T* data_ = nullptr;
  std::size_t size_ = 0, room_ = 0;
};

template <class T>
void copy_in(Device& device, T* to, std::span<T const> host) {
  device.copy_in(reinterpret_cast<std::byte*>(to), std::as_bytes(host));
}
template <class T>
void copy_out(Device& device, std::span<T> host, T const* from) {
  device.copy_out(std::as_writable_bytes(host), reinterpret_cast<std::byte const*>(from));
}

/// Memory of a device that the processor fills: what resize() gives is written, and is where the device works on it after send(). On the host they are one.
template <class T>
class Filled {
 public:
  explicit Filled(Device& device) : device_{device}, there_{device} {}
  T* resize(std::size_t size) {
    T* const there = there_.resize(size);
    if (device_.is_host()) return there;
    here_.resize(size);
    return here_.data();
  }
  T* send() {
    if (!device_.is_host()) copy_in<T>(device_, there_.data(), here_);
    return there_.data();
  }
  T* data() const { return there_.data(); }   // once it was sent
  std::size_t size() const { return there_.size(); }

 private:
  Device& device_;
  Buffer<T> there_;
  std::vector<T> here_;
};

/// Values of the processor where a device reads them: the same, or a copy that is good until the next.
template <class T>
class OnDevice {
 public:
  explicit OnDevice(Device& device) : device_{device}, copy_{device} {}
  T const* operator()(T const* host, std::size_t size) {
    if (device_.is_host()) return host;
    copy_in<T>(device_, copy_.resize(size), {host, size});
    return copy_.data();
  }

 private:
  Device& device_;
  Buffer<T> copy_;
};

/// Values of a device where the processor reads them: the same, or a copy that is good until the next.
template <class T>
class OnHost {
 public:
  explicit OnHost(Device& device) : device_{device} {}
  T const* operator()(T const* at, std::size_t size) {
    if (device_.is_host()) return at;
    copy_.resize(size);
    copy_out<T>(device_, copy_, at);
    return copy_.data();
  }

 private:
  Device& device_;
  std::vector<T> copy_;
};

}  // namespace pikv::kernels
