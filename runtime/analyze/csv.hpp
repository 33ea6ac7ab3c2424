#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "runtime/analyze/tables.hpp"

namespace pikv::runtime::analyze {

/// RFC 4180, but for lines that end in a line feed alone: a line of column names, then the rows; text is quoted where it must be, null is
/// nothing, yes and no are true and false.
std::string csv_of(Table const& table);

/// Makes `folder` and in it NAME.csv for each table. Throws InputError if it cannot, RunError if the disk is full.
void write_csv(std::filesystem::path const& folder, std::span<Table const> tables);

}   // namespace pikv::runtime::analyze
