#pragma once

#include <string>

namespace pikv::shards {

/// "a, b, c": the keys of a table of names, for messages.
template <typename Table>
std::string names_in(Table const& table) {
  std::string names;
  for (auto const& [name, entry] : table) {
    if (!names.empty()) names += ", ";
    names += name;
  }
  return names;
}

}  // namespace pikv::shards
