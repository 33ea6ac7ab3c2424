#pragma once

#include <filesystem>
#include <string>

#include "comm/world.hpp"
#include "runtime/calibration/calibration.hpp"
#include "runtime/model/model.hpp"

namespace pikv::runtime {

inline constexpr std::int64_t calibration_format = 3;   // docs/calibration.md

/// Writes NAME.part and makes it NAME when it is whole; `data` stays as it is. For one rank. Throws RunError.
void write_calibration(std::filesystem::path const& path, CalibrationData& data, std::string const& command);

/// Reads a file and checks its format, shapes and numbers, in this process. Throws RunError that says what is wrong with "it".
CalibrationData read_calibration_here(std::filesystem::path const& path);

/// Collective: every rank reads it, after rank 0 has looked whether it can be read and is this model's (Calibration::read, check_model). `said`: what the
/// user gave, "--calibration=c.h5". Throws AgreedError.
Calibration read_calibration(comm::World& world, double deadline_s, std::filesystem::path const& path, std::string const& said, Model const& model);

}   // namespace pikv::runtime
