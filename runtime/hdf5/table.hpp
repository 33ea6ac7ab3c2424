#pragma once

#include <hdf5.h>

#include <cstddef>
#include <span>
#include <string>

#include "runtime/hdf5/handle.hpp"
#include "runtime/hdf5/row_type.hpp"

namespace pikv::runtime::hdf5 {

/// A one-dimensional dataset of compound rows that grows: chunked, no filters. Making, growing and letting go are collective over MPI.
class Table {
 public:
  Table(hid_t file, std::string name, RowType const& type, std::size_t chunk_rows);

  /// Grows by `rows`, the same on every rank. Throws RunError.
  void grow(std::size_t rows);
  /// Writes this rank's `rows` (packed), perhaps none, starting `first` rows into the part that grew last. Throws RunError.
  void write(std::span<std::byte const> rows, std::size_t first, hid_t transfer);
  /// Leaves the dataset open, see Handle::abandon.
  void abandon() { dataset_.abandon(); }

 private:
  std::string name_;
  std::size_t row_bytes_;
  Type type_;
  Dataset dataset_;
  hsize_t rows_ = 0, rows_before_ = 0;
};

}  // namespace pikv::runtime::hdf5
