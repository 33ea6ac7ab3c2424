#include "runtime/hdf5/array.hpp"

#include <algorithm>
#include <cmath>

#include "comm/error.hpp"

namespace pikv::runtime::hdf5 {
namespace {

template <typename T>
hid_t in_memory() {
  return sizeof(T) == sizeof(float) ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE;
}

template <typename T>
void write_as(hid_t file, std::string const& path, hid_t type, Extent const& extent, std::span<T const> values) {
  Space const space{H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr), "make a space"};
  Properties const groups{H5Pcreate(H5P_LINK_CREATE), "make link properties"}, layout{H5Pcreate(H5P_DATASET_CREATE), "make a layout"};
  H5Pset_create_intermediate_group(groups.get(), 1);
  Extent chunk = extent;
  chunk[0] = 1;
  H5Pset_chunk(layout.get(), static_cast<int>(chunk.size()), chunk.data());
  H5Pset_fletcher32(layout.get());
  Dataset const dataset{H5Dcreate2(file, path.c_str(), type, space.get(), groups.get(), layout.get(), H5P_DEFAULT), "make " + path};
  if (H5Dwrite(dataset.get(), in_memory<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) < 0) throw RunError(failure("write " + path));
}

bool is_there(hid_t file, std::string const& path) {   // every group on the way has to be asked for
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    if (H5Lexists(file, path.substr(0, end).c_str(), H5P_DEFAULT) <= 0) return false;
    if (end == std::string::npos) return true;
  }
}

template <typename T>
std::vector<T> read_as(hid_t file, std::string const& path, Extent const& extent) {
  if (!is_there(file, path)) throw RunError("it has no " + path);
  Dataset const dataset{H5Dopen2(file, path.c_str(), H5P_DEFAULT), "open " + path};
  Space const space{H5Dget_space(dataset.get()), "get the space of " + path};
  Type const type{H5Dget_type(dataset.get()), "get the type of " + path};
  int const dimensions = H5Sget_simple_extent_ndims(space.get());
  Extent there(static_cast<std::size_t>(std::max(dimensions, 0)));
  if (H5Sget_simple_extent_type(space.get()) != H5S_SIMPLE || H5Sget_simple_extent_dims(space.get(), there.data(), nullptr) < 0 || there != extent)
    throw RunError(path + " has another shape than the model");
  if (H5Tget_class(type.get()) != H5T_FLOAT) throw RunError(path + " does not hold floating-point numbers");
  std::vector<T> values(count_of(extent));
  if (H5Dread(dataset.get(), in_memory<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) < 0) throw RunError(failure("read " + path));
  if (!std::ranges::all_of(values, [](T value) { return std::isfinite(value); })) throw RunError(path + " holds a value that is not finite");
  return values;
}

herr_t add_name(hid_t, char const* name, H5L_info_t const*, void* into) {
  static_cast<std::vector<std::string>*>(into)->emplace_back(name);
  return 0;
}

}   // namespace

hsize_t count_of(Extent const& extent) {
  hsize_t count = 1;
  for (hsize_t const n : extent) count *= n;
  return count;
}

void write_array(hid_t file, std::string const& path, Extent const& extent, std::span<float const> values) {
  write_as(file, path, H5T_IEEE_F32LE, extent, values);
}
void write_array(hid_t file, std::string const& path, Extent const& extent, std::span<double const> values) {
  write_as(file, path, H5T_IEEE_F64LE, extent, values);
}
std::vector<float> read_floats(hid_t file, std::string const& path, Extent const& extent) { return read_as<float>(file, path, extent); }
std::vector<double> read_doubles(hid_t file, std::string const& path, Extent const& extent) { return read_as<double>(file, path, extent); }

std::vector<std::string> members_of(hid_t file, std::string const& group) {
  std::vector<std::string> names;
  if (!is_there(file, group)) return names;
  Group const opened{H5Gopen2(file, group.c_str(), H5P_DEFAULT), "open " + group};
  if (H5Literate(opened.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, add_name, &names) < 0) throw RunError(failure("list " + group));
  return names;
}

}   // namespace pikv::runtime::hdf5
