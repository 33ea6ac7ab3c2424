#pragma once

#include <string>

#include "comm/world.hpp"
#include "runtime/calibration/calibrate_options.hpp"
#include "runtime/calibration/calibration.hpp"

namespace pikv::runtime {

/// Collective: runs text through the model, every rank its windows (window i on rank i mod ranks), gathers moments and makes every family of maps. The
/// result is the same on every rank, and from any number of ranks but for rounding in fp64. Throws as run_generate does.
CalibrationData calibrated(comm::World& world, CalibrateOptions const& options, std::string const& command_line);

/// `pikv calibrate` on this rank, collective: writes --output and prints held-out errors (rank 0). Returns the exit code.
int run_calibrate(comm::World& world, CalibrateOptions const& options, std::string const& command_line);

}   // namespace pikv::runtime
