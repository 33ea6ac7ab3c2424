#pragma once

#include <hdf5.h>

#include <string>

#include "runtime/attributes.hpp"

namespace pikv::runtime::hdf5 {

/// Writes one attribute of a group or file: text as variable-length UTF-8, numbers as i64 or f64. Over MPI collective, with the same
/// value on every rank. Throws RunError.
void write(hid_t where, Attribute const& attribute);

/// Makes group `name` and writes its attributes. Collective like write().
void write_group(hid_t file, std::string const& name, Attributes const& attributes);

}  // namespace pikv::runtime::hdf5
