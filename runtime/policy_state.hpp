#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "comm/error.hpp"

namespace pikv::runtime {

/// Of what policies save: of every scheduler, page summaries and cache_manager.cpp together.
inline constexpr std::int32_t policy_state_version = 1;

/// State of policies as bytes, for a checkpoint: plain values and lists of them, each list after its length (u64), in the order in which they are
/// written, without padding. Little-endian, as memory is.
class StateWriter {
 public:
  template <typename T>
    requires std::is_trivially_copyable_v<T>
  void value(T const& value) {
    bytes_.append(reinterpret_cast<char const*>(&value), sizeof value);
  }
  template <typename T>
    requires std::is_trivially_copyable_v<T>
  void list(std::vector<T> const& list) {
    value(std::uint64_t{list.size()});
    bytes_.append(reinterpret_cast<char const*>(list.data()), list.size() * sizeof(T));
  }

  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Reads what a StateWriter wrote; RunError where it was something else.
class StateReader {
 public:
  explicit StateReader(std::string_view bytes) : bytes_{bytes} {}

  template <typename T>
    requires std::is_trivially_copyable_v<T>
  T value() {
    std::array<char, sizeof(T)> raw;
    std::memcpy(raw.data(), take(sizeof(T)), sizeof(T));
    return std::bit_cast<T>(raw);
  }
  template <typename T>
    requires std::is_trivially_copyable_v<T>
  void list(std::vector<T>& into) {
    auto const count = value<std::uint64_t>();
    if (count > bytes_.size() / sizeof(T)) refuse();
    into.resize(count);
    if (count > 0) std::memcpy(into.data(), take(count * sizeof(T)), count * sizeof(T));
  }
  bool empty() const { return bytes_.empty(); }

 private:
  [[noreturn]] static void refuse() { throw RunError("the state of a policy is shorter than it says; resume from an older checkpoint"); }
  char const* take(std::size_t bytes) {
    if (bytes > bytes_.size()) refuse();
    char const* const at = bytes_.data();
    bytes_.remove_prefix(bytes);
    return at;
  }

  std::string_view bytes_;
};

}   // namespace pikv::runtime
