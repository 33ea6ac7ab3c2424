#include "runtime/analyze/json.hpp"

namespace pikv::runtime::analyze {

using Json = nlohmann::ordered_json;

namespace {

Json rows_of(Table const& table) {
  Json rows = Json::array();
  for (auto const& row : table.rows) {
    Json object = Json::object();
    for (std::size_t i = 0; i < row.size(); ++i) object[table.columns[i]] = row[i];
    rows.push_back(std::move(object));
  }
  return rows;
}

Json by_name(Table const& table) {
  Json object = Json::object();
  for (auto const& row : table.rows) object[row[0].get<std::string>()] = row[1];
  return object;
}

}   // namespace

Json json_of(std::span<Table const> tables) {
  Json all = Json::object();
  for (auto const& table : tables) all[table.name] = table.name == "job" ? by_name(table) : rows_of(table);
  return all;
}

}   // namespace pikv::runtime::analyze
