#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "comm/exchange.hpp"

namespace pikv::comm {

/// Writes plain values and arrays into a message, each padded to 8 bytes. Little-endian, as memory is.
class MessageWriter {
 public:
  explicit MessageWriter(Exchange::Outgoing& out) : out_{out} {}

  template <typename T>
    requires std::is_trivially_copyable_v<T>
  void value(T const& v) {
    std::memcpy(room(sizeof(T)).data(), &v, sizeof(T));
  }
  /// The array's elements, without their number: write that first.
  template <typename T>
    requires std::is_trivially_copyable_v<T>
  void array(std::span<T const> items) {
    if (!items.empty()) std::memcpy(room(items.size_bytes()).data(), items.data(), items.size_bytes());
  }
  /// Room for `count` elements to be filled in place before the exchange starts.
  template <typename T>
  std::span<T> reserve(std::size_t count) {
    auto const bytes = room(count * sizeof(T));
    return {reinterpret_cast<T*>(bytes.data()), count};
  }

 private:
  std::span<std::byte> room(std::size_t bytes) { return out_.append((bytes + 7) & ~std::size_t{7}); }
  Exchange::Outgoing& out_;
};

/// Reads what a MessageWriter wrote; past the end it throws std::runtime_error (a framed message is whole, so that is a bug).
class MessageReader {
 public:
  explicit MessageReader(std::span<std::byte const> in) : in_{in} {}

  template <typename T>
    requires std::is_trivially_copyable_v<T>
  T value() {
    T v;
    std::memcpy(&v, take(sizeof(T)), sizeof(T));
    return v;
  }
  template <typename T>
    requires std::is_trivially_copyable_v<T>
  std::span<T const> array(std::size_t count) {
    if (count > in_.size() / sizeof(T)) throw std::runtime_error("message shorter than it says");
    return {reinterpret_cast<T const*>(take(count * sizeof(T))), count};
  }
  bool empty() const { return in_.empty(); }

 private:
  std::byte const* take(std::size_t bytes) {
    std::size_t const padded = (bytes + 7) & ~std::size_t{7};
    if (padded > in_.size()) throw std::runtime_error("message shorter than it says");
    std::byte const* const at = in_.data();
    in_ = in_.subspan(padded);
    return at;
  }
  std::span<std::byte const> in_;
};

}  // namespace pikv::comm
