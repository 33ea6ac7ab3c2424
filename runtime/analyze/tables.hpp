#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/analyze/advice.hpp"
#include "runtime/analyze/figures.hpp"

namespace pikv::runtime::analyze {

/// One of the report's tables, for --json and --csv alike. A cell is text, a number, or null where there is none.
struct Table {
  std::string name;
  std::vector<std::string> columns;
  std::vector<std::vector<nlohmann::ordered_json>> rows;
};

/// docs/analyze.md says what each holds.
std::vector<Table> tables_of(Trace const& trace, Figures const& figures, std::vector<Advice> const& advice);

}   // namespace pikv::runtime::analyze
