#pragma once

#include <map>
#include <string_view>

namespace pikv::runtime {

struct RouterEntry {
  std::string_view sentence;   // for `pikv list routers`
};

/// name -> router, for routed attention. Attention is exact so far: every page is read, no router is needed, and there is none.
inline std::map<std::string_view, RouterEntry> const& routers() {
  static std::map<std::string_view, RouterEntry> const table;
  return table;
}

}  // namespace pikv::runtime
