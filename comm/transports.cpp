#include "comm/transports.hpp"

namespace pikv::comm {

std::map<std::string_view, std::string_view> const& transports() {
  static std::map<std::string_view, std::string_view> const table{
      {"auto", "the fastest one that this build and this machine have: mpi here"},
      {"mpi", "one-sided MPI over windows of shared or registered memory; runs wherever MPI does"},
  };
  return table;
}

}  // namespace pikv::comm
