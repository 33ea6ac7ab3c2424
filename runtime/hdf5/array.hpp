#pragma once

#include <hdf5.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/hdf5/handle.hpp"

namespace pikv::runtime::hdf5 {

using Extent = std::vector<hsize_t>;
hsize_t count_of(Extent const& extent);

/// Writes one dataset of f32 or f64 under `path` ("/a/b/c"; groups are made), a chunk for each of the first index, each with HDF5's own checksum
/// (fletcher32). For one rank. Throws RunError.
void write_array(hid_t file, std::string const& path, Extent const& extent, std::span<float const> values);
void write_array(hid_t file, std::string const& path, Extent const& extent, std::span<double const> values);

/// Reads one. Throws RunError if it is missing, of another shape or another kind of numbers, damaged, or holds a value that is not finite.
std::vector<float> read_floats(hid_t file, std::string const& path, Extent const& extent);
std::vector<double> read_doubles(hid_t file, std::string const& path, Extent const& extent);

/// Names of the members of a group, sorted; none if it is not there.
std::vector<std::string> members_of(hid_t file, std::string const& group);

}   // namespace pikv::runtime::hdf5
