#pragma once

#include <map>
#include <string_view>

namespace pikv::runtime {

struct TransportEntry {
  std::string_view sentence;   // for `pikv list transports`
};

/// What --transport takes in this build.
inline std::map<std::string_view, TransportEntry> const& transports() {
  static std::map<std::string_view, TransportEntry> const table{{"auto", {"the fastest transport of this build, which is mpi"}},
                                                                {"mpi", {"MPI one-sided windows; runs wherever MPI runs"}}};
  return table;
}

}  // namespace pikv::runtime
