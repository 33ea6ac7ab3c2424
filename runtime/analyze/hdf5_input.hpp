#pragma once

#include <hdf5.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "runtime/attributes.hpp"
#include "runtime/hdf5/handle.hpp"
#include "runtime/hdf5/row_type.hpp"

namespace pikv::runtime::analyze {

/// Attributes of a group or file, in the order of their names; text, i64 or f64. Throws RunError on any other kind.
Attributes read_attributes(hid_t where);

/// One table of compound rows. Throws RunError if it is missing, not such a table, or says that it is larger than `file_bytes`.
class TableInput {
 public:
  TableInput(hid_t file, std::string const& name, std::uint64_t file_bytes);

  bool has(std::string const& field) const;
  /// All rows, fields matched by name and numbers converted; throws RunError if one of the row's fields is missing, but for those of
  /// `not_there`, which the trace's format did not have: they are left 0.
  template <typename Row>
  std::vector<Row> rows(hdf5::RowType const& type, std::vector<std::string> const& not_there = {}) const {
    std::vector<Row> all(static_cast<std::size_t>(count_));
    read(type, not_there, sizeof(Row), all.data());
    return all;
  }
  /// Names of an enumerated field's values; none if the field is a plain number.
  std::map<std::int64_t, std::string> names_of(std::string const& field) const;

 private:
  void read(hdf5::RowType const& type, std::vector<std::string> const& not_there, std::size_t row_bytes, void* into) const;

  std::string name_;
  hdf5::Dataset dataset_;
  hdf5::Type type_;
  std::uint64_t count_ = 0;
};

}   // namespace pikv::runtime::analyze
