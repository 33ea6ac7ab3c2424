#include "runtime/hdf5/attribute.hpp"

#include "runtime/hdf5/handle.hpp"

namespace pikv::runtime::hdf5 {
namespace {

Type text_type() {
  Type type{H5Tcopy(H5T_C_S1), "make a text type"};
  H5Tset_size(type.get(), H5T_VARIABLE);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  return type;
}

void write_as(hid_t where, std::string const& name, hid_t type, void const* value) {
  Space const scalar{H5Screate(H5S_SCALAR), "make a scalar"};
  AttributeHandle const attribute{H5Acreate2(where, name.c_str(), type, scalar.get(), H5P_DEFAULT, H5P_DEFAULT), "make attribute " + name};
  if (H5Awrite(attribute.get(), type, value) < 0) throw RunError(failure("write attribute " + name));
}

}  // namespace

void write(hid_t where, Attribute const& attribute) {
  if (auto const* text = std::get_if<std::string>(&attribute.value)) {
    char const* const value = text->c_str();
    write_as(where, attribute.name, text_type().get(), &value);
  } else if (auto const* whole = std::get_if<std::int64_t>(&attribute.value)) {
    write_as(where, attribute.name, H5T_STD_I64LE, whole);
  } else {
    write_as(where, attribute.name, H5T_IEEE_F64LE, &std::get<double>(attribute.value));
  }
}

void write_group(hid_t file, std::string const& name, Attributes const& attributes) {
  Group const group{H5Gcreate2(file, name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), "make group " + name};
  for (auto const& attribute : attributes) write(group.get(), attribute);
}

}  // namespace pikv::runtime::hdf5
