#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

namespace pikv::runtime::hdf5 {

enum class Scalar { i32, i64, u32, u64, f64, text };

struct Field {
  std::string name;
  Scalar scalar;
  std::size_t offset;   // in the struct
  std::size_t bytes;
  std::vector<std::string> names;   // of its values 0, 1, ...: an enumeration; empty: a plain number
};

/// Which members of a struct make a table's row, and under which names. Rows are packed: fields in order, without padding, so that
/// memory and file agree bit by bit (HDF5 gives up collective writes where it has to convert).
class RowType {
 public:
  template <typename Row, typename T>
  RowType& add(std::string name, T Row::* member) {
    return add_field(std::move(name), scalar_of<T>(), offset_of(member), sizeof(T));
  }
  /// An enumeration: names[i] is that of value i.
  template <typename Row>
  RowType& add_named(std::string name, std::int32_t Row::* member, std::vector<std::string> names) {
    add(std::move(name), member);
    fields_.back().names = std::move(names);
    return *this;
  }
  /// One field per element; `name(i)` names element i.
  template <typename Row, typename T, std::size_t N, typename Name>
  RowType& add_each(std::array<T, N> Row::* member, Name name) {
    for (std::size_t i = 0; i < N; ++i) add_field(name(i), scalar_of<T>(), offset_of(member) + i * sizeof(T), sizeof(T));
    return *this;
  }

  std::vector<Field> const& fields() const { return fields_; }
  std::size_t row_bytes() const { return row_bytes_; }
  /// Writes the row_bytes() of one row.
  void pack(void const* row, std::byte* into) const;

 private:
  template <typename T>
  static constexpr Scalar scalar_of() {
    if constexpr (std::is_same_v<T, std::int32_t>) return Scalar::i32;
    else if constexpr (std::is_same_v<T, std::int64_t>) return Scalar::i64;
    else if constexpr (std::is_same_v<T, std::uint32_t>) return Scalar::u32;
    else if constexpr (std::is_same_v<T, std::uint64_t>) return Scalar::u64;
    else if constexpr (std::is_same_v<T, double>) return Scalar::f64;
    else {
      static_assert(std::is_same_v<typename T::value_type, char>, "a field is a number or an array of char, padded with zeros");
      return Scalar::text;
    }
  }
  template <typename Row, typename T>
  static std::size_t offset_of(T Row::* member) {
    Row const row{};
    return static_cast<std::size_t>(reinterpret_cast<std::byte const*>(&(row.*member)) - reinterpret_cast<std::byte const*>(&row));
  }
  RowType& add_field(std::string name, Scalar scalar, std::size_t offset, std::size_t bytes);

  struct Run {   // fields that lie in the struct as they do in the row
    std::size_t offset, bytes;
  };
  std::vector<Field> fields_;
  std::vector<Run> runs_;
  std::size_t row_bytes_ = 0;
};

/// Packed rows that wait to be written. Adding allocates only past `capacity` rows.
class RowBuffer {
 public:
  RowBuffer(RowType type, std::size_t capacity) : type_{std::move(type)} { bytes_.reserve(capacity * type_.row_bytes()); }

  void add(void const* row);
  void clear() { bytes_.clear(); }
  std::size_t rows() const { return bytes_.size() / type_.row_bytes(); }
  std::vector<std::byte> const& bytes() const { return bytes_; }
  RowType const& type() const { return type_; }

 private:
  RowType type_;
  std::vector<std::byte> bytes_;
};

}  // namespace pikv::runtime::hdf5
