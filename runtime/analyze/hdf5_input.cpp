#include "runtime/analyze/hdf5_input.hpp"

#include <algorithm>

#include "comm/error.hpp"

namespace pikv::runtime::analyze {
namespace {

using hdf5::Scalar;

hdf5::Type memory_type(hdf5::Field const& field) {
  auto const copy = [](hid_t native) { return hdf5::Type{H5Tcopy(native), "make a field type"}; };
  switch (field.scalar) {
    case Scalar::i32:
      return copy(H5T_NATIVE_INT32);
    case Scalar::i64:
      return copy(H5T_NATIVE_INT64);
    case Scalar::u32:
      return copy(H5T_NATIVE_UINT32);
    case Scalar::u64:
      return copy(H5T_NATIVE_UINT64);
    case Scalar::f64:
      return copy(H5T_NATIVE_DOUBLE);
    case Scalar::text:
      break;
  }
  auto text = copy(H5T_C_S1);
  H5Tset_size(text.get(), field.bytes);
  H5Tset_strpad(text.get(), H5T_STR_NULLPAD);
  H5Tset_cset(text.get(), H5T_CSET_UTF8);
  return text;
}

std::string name_of_attribute(hid_t attribute) {
  std::string name(static_cast<std::size_t>(std::max<ssize_t>(H5Aget_name(attribute, 0, nullptr), 0)), '\0');
  H5Aget_name(attribute, name.size() + 1, name.data());
  return name;
}

template <typename Value>
Value read_as(hid_t attribute, hid_t type, std::string const& name) {
  Value value{};
  if (H5Aread(attribute, type, &value) < 0) throw RunError(hdf5::failure("read attribute " + name));
  return value;
}

Attribute read_attribute(hid_t where, hsize_t place) {
  hdf5::AttributeHandle const attribute{H5Aopen_by_idx(where, ".", H5_INDEX_NAME, H5_ITER_INC, place, H5P_DEFAULT, H5P_DEFAULT), "open an attribute"};
  std::string const name = name_of_attribute(attribute.get());
  hdf5::Type const type{H5Aget_type(attribute.get()), "get the type of attribute " + name};
  switch (H5Tget_class(type.get())) {
    case H5T_INTEGER:
      return {name, read_as<std::int64_t>(attribute.get(), H5T_NATIVE_INT64, name)};
    case H5T_FLOAT:
      return {name, read_as<double>(attribute.get(), H5T_NATIVE_DOUBLE, name)};
    case H5T_STRING:
      break;
    default:
      throw RunError("attribute " + name + " is neither text nor a number");
  }
  if (H5Tis_variable_str(type.get()) <= 0) throw RunError("attribute " + name + " is text of a fixed length");
  char* const text = read_as<char*>(attribute.get(), type.get(), name);
  std::string const value = text ? text : "";
  H5free_memory(text);
  return {name, value};
}

hdf5::Dataset open_table(hid_t file, std::string const& name) {
  if (H5Lexists(file, name.c_str(), H5P_DEFAULT) <= 0) throw RunError("it has no /" + name);
  return {H5Dopen2(file, name.c_str(), H5P_DEFAULT), "open /" + name};
}

}   // namespace

Attributes read_attributes(hid_t where) {
  H5O_info_t info;
  if (H5Oget_info(where, &info) < 0) throw RunError(hdf5::failure("count attributes"));
  Attributes all;
  for (hsize_t place = 0; place < info.num_attrs; ++place) all.push_back(read_attribute(where, place));
  return all;
}

TableInput::TableInput(hid_t file, std::string const& name, std::uint64_t file_bytes)
    : name_{name}, dataset_{open_table(file, name)}, type_{H5Dget_type(dataset_.get()), "get the type of /" + name} {
  hdf5::Space const space{H5Dget_space(dataset_.get()), "get the space of /" + name};
  if (H5Tget_class(type_.get()) != H5T_COMPOUND || H5Sget_simple_extent_ndims(space.get()) != 1) throw RunError("/" + name + " is no table of rows");
  count_ = static_cast<std::uint64_t>(H5Sget_simple_extent_npoints(space.get()));
  if (count_ > file_bytes / H5Tget_size(type_.get())) throw RunError("/" + name + " claims more rows than the file could hold");
}

bool TableInput::has(std::string const& field) const { return H5Tget_member_index(type_.get(), field.c_str()) >= 0; }

void TableInput::read(hdf5::RowType const& type, std::vector<std::string> const& not_there, std::size_t row_bytes, void* into) const {
  hdf5::Type const memory{H5Tcreate(H5T_COMPOUND, row_bytes), "make a row type"};
  for (auto const& field : type.fields()) {
    if (std::ranges::find(not_there, field.name) != not_there.end()) continue;
    if (!has(field.name)) throw RunError("/" + name_ + " has no field " + field.name);
    if (H5Tinsert(memory.get(), field.name.c_str(), field.offset, memory_type(field).get()) < 0)
      throw RunError(hdf5::failure("add field " + field.name));
  }
  if (count_ > 0 && H5Dread(dataset_.get(), memory.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, into) < 0) throw RunError(hdf5::failure("read /" + name_));
}

std::map<std::int64_t, std::string> TableInput::names_of(std::string const& field) const {
  int const place = H5Tget_member_index(type_.get(), field.c_str());
  std::map<std::int64_t, std::string> names;
  if (place < 0) return names;
  hdf5::Type const kind{H5Tget_member_type(type_.get(), static_cast<unsigned>(place)), "get the type of " + field};
  if (H5Tget_class(kind.get()) != H5T_ENUM || H5Tget_size(kind.get()) > sizeof(std::int64_t)) return names;
  for (unsigned i = 0; i < static_cast<unsigned>(H5Tget_nmembers(kind.get())); ++i) {
    std::int64_t value = 0;   // little-endian in the file as in memory
    H5Tget_member_value(kind.get(), i, &value);
    char* const name = H5Tget_member_name(kind.get(), i);
    names[value] = name ? name : "";
    H5free_memory(name);
  }
  return names;
}

}   // namespace pikv::runtime::analyze
