#include <mpi.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "comm/mpi_world.hpp"

namespace pikv::comm {

int launched_ranks() {   // the launcher next to this process is asked first: mpirun inside a step of Slurm overrules it
  for (char const* const name : {"OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"})
    if (char const* const value = std::getenv(name)) return std::max(std::atoi(value), 1);
  return 0;
}

bool launched_by_mpi() { return launched_ranks() > 1 || (launched_ranks() == 0 && std::getenv("PMIX_RANK") != nullptr); }

std::string mpi_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0, version = 0, subversion = 0;
  MPI_Get_library_version(text.data(), &length);
  MPI_Get_version(&version, &subversion);
  std::string library{std::string_view{text.data()}.substr(0, std::string_view{text.data()}.find_first_of(",\n"))};
  auto const v = library.find(" v");
  if (v != std::string::npos && v + 2 < library.size() && std::isdigit(static_cast<unsigned char>(library[v + 2])) != 0) library.erase(v + 1, 1);
  return fmt::format("{}, MPI {}.{}, thread level funneled", library, version, subversion);
}

}  // namespace pikv::comm
