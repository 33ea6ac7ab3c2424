#include "runtime/hdf5/table.hpp"

#include <utility>

namespace pikv::runtime::hdf5 {
namespace {

Type enumeration(std::vector<std::string> const& names) {
  Type type{H5Tenum_create(H5T_STD_I32LE), "make an enumeration"};
  for (std::int32_t value = 0; value < static_cast<std::int32_t>(names.size()); ++value)
    if (H5Tenum_insert(type.get(), names[static_cast<std::size_t>(value)].c_str(), &value) < 0) throw RunError(failure("name a value of an enumeration"));
  return type;
}

Type field_type(Field const& field) {
  if (!field.names.empty()) return enumeration(field.names);
  switch (field.scalar) {
    case Scalar::i32: return {H5Tcopy(H5T_STD_I32LE), "make a field type"};
    case Scalar::i64: return {H5Tcopy(H5T_STD_I64LE), "make a field type"};
    case Scalar::u32: return {H5Tcopy(H5T_STD_U32LE), "make a field type"};
    case Scalar::u64: return {H5Tcopy(H5T_STD_U64LE), "make a field type"};
    case Scalar::f64: return {H5Tcopy(H5T_IEEE_F64LE), "make a field type"};
    case Scalar::text: break;
  }
  Type text{H5Tcopy(H5T_C_S1), "make a text type"};
  H5Tset_size(text.get(), field.bytes);
  H5Tset_strpad(text.get(), H5T_STR_NULLPAD);
  H5Tset_cset(text.get(), H5T_CSET_UTF8);
  return text;
}

Type compound_type(RowType const& rows) {
  Type compound{H5Tcreate(H5T_COMPOUND, rows.row_bytes()), "make a row type"};
  std::size_t offset = 0;
  for (auto const& field : rows.fields()) {
    if (H5Tinsert(compound.get(), field.name.c_str(), offset, field_type(field).get()) < 0) throw RunError(failure("add field " + field.name));
    offset += field.bytes;
  }
  return compound;
}

Dataset make_dataset(hid_t file, std::string const& name, hid_t type, hsize_t chunk_rows) {
  hsize_t const none = 0, unlimited = H5S_UNLIMITED;
  Space const space{H5Screate_simple(1, &none, &unlimited), "make the space of " + name};
  Properties const layout{H5Pcreate(H5P_DATASET_CREATE), "make the layout of " + name};
  H5Pset_chunk(layout.get(), 1, &chunk_rows);
  H5Pset_fill_time(layout.get(), H5D_FILL_TIME_NEVER);
  return {H5Dcreate2(file, name.c_str(), type, space.get(), H5P_DEFAULT, layout.get(), H5P_DEFAULT), "make table " + name};
}

}  // namespace

Table::Table(hid_t file, std::string name, RowType const& type, std::size_t chunk_rows)
    : name_{std::move(name)},
      row_bytes_{type.row_bytes()},
      type_{compound_type(type)},
      dataset_{make_dataset(file, name_, type_.get(), chunk_rows)} {}

void Table::grow(std::size_t rows) {
  rows_before_ = rows_;
  rows_ += rows;
  if (H5Dset_extent(dataset_.get(), &rows_) < 0) throw RunError(failure("grow table " + name_));
}

void Table::write(std::span<std::byte const> rows, std::size_t first, hid_t transfer) {
  hsize_t const start = rows_before_ + first, count = rows.size() / row_bytes_;
  Space const here{H5Screate_simple(1, &count, nullptr), "make a memory space"};
  Space const there{H5Dget_space(dataset_.get()), "get the space of " + name_};
  if (count == 0) {
    H5Sselect_none(here.get());
    H5Sselect_none(there.get());
  } else {
    H5Sselect_hyperslab(there.get(), H5S_SELECT_SET, &start, nullptr, &count, nullptr);
  }
  if (H5Dwrite(dataset_.get(), type_.get(), here.get(), there.get(), transfer, rows.data()) < 0) throw RunError(failure("write table " + name_));
}

}  // namespace pikv::runtime::hdf5
