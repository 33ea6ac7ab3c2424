#include "runtime/analyze/csv.hpp"

#include <fmt/core.h>

#include <system_error>

#include "comm/error.hpp"
#include "runtime/output_file.hpp"

namespace pikv::runtime::analyze {
namespace {

std::string quoted(std::string const& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string result = "\"";
  for (char const c : text) result += c == '"' ? "\"\"" : std::string{c};
  return result + '"';
}

std::string field(nlohmann::ordered_json const& cell) {
  if (cell.is_null()) return "";
  return cell.is_string() ? quoted(cell.get<std::string>()) : cell.dump();
}

template <typename Values>
void add_line(std::string& text, Values const& values, auto const& as_field) {
  char const* before = "";
  for (auto const& value : values) {
    text += before + as_field(value);
    before = ",";
  }
  text += '\n';
}

}   // namespace

std::string csv_of(Table const& table) {
  std::string text;
  add_line(text, table.columns, quoted);
  for (auto const& row : table.rows) add_line(text, row, field);
  return text;
}

void write_csv(std::filesystem::path const& folder, std::span<Table const> tables) {
  std::error_code trouble;
  std::filesystem::create_directories(folder, trouble);
  if (!std::filesystem::is_directory(folder))
    throw InputError(fmt::format("--csv={} cannot be made a folder ({}); give another name", folder.string(), trouble.message()));
  for (auto const& table : tables) {
    OutputFile file{folder / (table.name + ".csv"), "--csv"};
    file.write(csv_of(table));
    file.commit();
  }
}

}   // namespace pikv::runtime::analyze
