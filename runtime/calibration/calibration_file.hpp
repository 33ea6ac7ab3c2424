#pragma once

#include <filesystem>
#include <string>

#include "runtime/calibration/calibration.hpp"

namespace pikv::runtime {

inline constexpr std::int64_t calibration_format = 1;   // docs/calibration.md

/// Writes NAME.part and makes it NAME when it is whole; `data` stays as it is. For one rank. Throws RunError.
void write_calibration(std::filesystem::path const& path, CalibrationData& data, std::string const& command);

/// Reads a file and checks its format, shapes and numbers, in this process. Throws RunError that says what is wrong with "it".
CalibrationData read_calibration_here(std::filesystem::path const& path);

}   // namespace pikv::runtime
