#pragma once

#include <string>

namespace pikv::runtime::hdf5 {

/// Before the first other HDF5 call; may be repeated. HDF5 then prints no error stack (our sentence says what went wrong) and does
/// nothing at exit, where it crashes if a file could not be closed.
void prepare();

/// "could not `what` (reason of the last HDF5 call that failed)". Call it before the next HDF5 call.
std::string failure(std::string const& what);

}  // namespace pikv::runtime::hdf5
