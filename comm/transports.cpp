#include "comm/transports.hpp"

#include "comm/mpi_world.hpp"
#include "comm/ucx.hpp"

namespace pikv::comm {

std::map<std::string_view, TransportEntry> const& transports() {
  using Table = std::map<std::string_view, TransportEntry>;
  static Table const table = [] {
    Table names{{"mpi", {"MPI: one-sided windows and messages; runs wherever MPI runs", make_mpi_world}}};
    if (ucx_built_in()) names["ucx"] = {"UCX: one-sided memory and active messages; shared memory, InfiniBand, TCP", make_ucx_world};
    names["auto"] = ucx_built_in() ? TransportEntry{"ucx, since it is built in", make_ucx_world}
                                   : TransportEntry{"mpi, since UCX is not built in", make_mpi_world};
    return names;
  }();
  return table;
}

}  // namespace pikv::comm
