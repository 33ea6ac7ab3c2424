#include "runtime/scheduling/schedulers.hpp"

namespace pikv::runtime {

std::map<std::string_view, SchedulerEntry> const& schedulers() {
  static std::map<std::string_view, SchedulerEntry> const table{{"none", {.sentence = "keeps every token until its request ends"}}};
  return table;
}

}  // namespace pikv::runtime
