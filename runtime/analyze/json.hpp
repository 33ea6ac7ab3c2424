#pragma once

#include <nlohmann/json.hpp>
#include <span>

#include "runtime/analyze/tables.hpp"

namespace pikv::runtime::analyze {

/// An object per table: "job" as one object by name, the others as lists of objects by column.
nlohmann::ordered_json json_of(std::span<Table const> tables);

}   // namespace pikv::runtime::analyze
