#include "runtime/routing/routers.hpp"

namespace pikv::runtime {

std::map<std::string_view, RouterEntry> const& routers() {
  static std::map<std::string_view, RouterEntry> const table;
  return table;
}

}  // namespace pikv::runtime
