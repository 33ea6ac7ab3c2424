#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>

#include "kernels/device.hpp"

namespace pikv::kernels {

/// Memory for T that is kept from use to use and grows as a vector does, without keeping its values. The device outlives it.
template <class T, std::byte* (Device::*allocate)(std::size_t), void (Device::*free)(std::byte*) noexcept>
class KeptMemory {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit KeptMemory(Device& device) : device_{&device} {}
  KeptMemory(KeptMemory&& from) noexcept
      : device_{from.device_}, data_{std::exchange(from.data_, nullptr)}, size_{std::exchange(from.size_, 0)}, room_{std::exchange(from.room_, 0)} {}
  KeptMemory(KeptMemory const&) = delete;   // would hide a transfer
  ~KeptMemory() { (device_->*free)(reinterpret_cast<std::byte*>(data_)); }

  T* resize(std::size_t size) {
    if (size > room_) {
      (device_->*free)(reinterpret_cast<std::byte*>(std::exchange(data_, nullptr)));
      std::size_t const room = std::max(size, 2 * std::exchange(room_, 0));
      data_ = reinterpret_cast<T*>((device_->*allocate)(room * sizeof(T)));
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

/// Of a device.
template <class T>
using Buffer = KeptMemory<T, &Device::allocate, &Device::free>;

/// Of the host, for copies with a device.
template <class T>
class HostBuffer : private KeptMemory<T, &Device::allocate_host, &Device::free_host> {
  using Kept = KeptMemory<T, &Device::allocate_host, &Device::free_host>;

 public:
  using Kept::Kept;
  std::span<T> resize(std::size_t size) { return {Kept::resize(size), size}; }
  std::span<T> values() const { return {Kept::data(), Kept::size()}; }
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
  explicit Filled(Device& device) : device_{device}, there_{device}, here_{device} {}
  T* resize(std::size_t size) {
    T* const there = there_.resize(size);
    if (device_.is_host()) return there;
    if (sent_ == device_.waits()) device_.wait();   // it may still be read
    return here_.resize(size).data();
  }
  T* send() {
    if (device_.is_host()) return there_.data();
    device_.send(reinterpret_cast<std::byte*>(there_.data()), std::as_bytes(here_.values()));
    sent_ = device_.waits();
    return there_.data();
  }
  T* data() const { return there_.data(); }   // once it was sent
  std::size_t size() const { return there_.size(); }

 private:
  Device& device_;
  Buffer<T> there_;
  HostBuffer<T> here_;
  std::uint64_t sent_ = std::numeric_limits<std::uint64_t>::max();   // waits before it
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
  explicit OnHost(Device& device) : device_{device}, copy_{device} {}
  T const* operator()(T const* at, std::size_t size) {
    T const* const here = fetch(at, size);
    if (size > 0) device_.wait();
    return here;
  }
  /// The same, but read only after the next wait() of the device: one will do for several.
  T const* fetch(T const* at, std::size_t size) {
    if (device_.is_host()) return at;
    auto const here = copy_.resize(size);
    device_.fetch(std::as_writable_bytes(here), reinterpret_cast<std::byte const*>(at));
    return here.data();
  }

 private:
  Device& device_;
  HostBuffer<T> copy_;
};

}  // namespace pikv::kernels
