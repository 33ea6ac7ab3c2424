#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pikv::runtime::analyze {

/// A message in protobuf's wire format, written field by field.
class Message {
 public:
  Message& number(std::uint32_t field, std::uint64_t value) {
    varint(std::uint64_t{field} << 3);
    varint(value);
    return *this;
  }
  Message& text(std::uint32_t field, std::string_view value) {
    varint(std::uint64_t{field} << 3 | 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& message(std::uint32_t field, Message const& value) { return text(field, value.bytes_); }

  /// The fields of another message of the same kind.
  Message& append(Message const& more) {
    bytes_ += more.bytes_;
    return *this;
  }

  std::string const& bytes() const { return bytes_; }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

}   // namespace pikv::runtime::analyze
