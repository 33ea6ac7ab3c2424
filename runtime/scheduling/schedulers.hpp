#pragma once

#include <map>
#include <string_view>

namespace pikv::runtime {

struct SchedulerEntry {
  std::string_view sentence;   // for `pikv list schedulers`
};

/// name -> policy that decides which tokens of a stream are kept. --help, errors and `pikv list` read this table.
inline std::map<std::string_view, SchedulerEntry> const& schedulers() {
  static std::map<std::string_view, SchedulerEntry> const table{{"none", {"keeps every token until its request ends"}}};
  return table;
}

}  // namespace pikv::runtime
