#pragma once

#include "comm/world.hpp"

namespace pikv::comm::test {

/// The MPI world of a test program linked with pikv_mpi_test_main, whose main() runs all tests on every rank and
/// returns the same code everywhere.
World& mpi_world();

}  // namespace pikv::comm::test
