// write_sample_trace inprocess|mpi RANKS STEPS FILE [wait|full]: writes the rows of sample_rows.hpp; ends with 1 after an error.
// wait: rank 0 does not close the trace, it says "written" and sleeps until it is killed. full: no file may pass 2 MiB.
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>

#include "comm/error.hpp"
#include "comm/inprocess_world.hpp"
#include "comm/mpi_world.hpp"
#include "trace_cases.hpp"

int main(int argc, char** argv) {
  using namespace pikv;
  if (argc < 5) return 2;
  std::string const kind = argv[1], file = argv[4], mode = argc > 5 ? argv[5] : "";
  std::optional<runtime::test::FileSizeLimit> limit;
  auto const body = [&](comm::World& world) {
    if (mode == "full" && !limit) limit.emplace(2 << 20);
    runtime::TraceWriter trace{world, file, runtime::test::sample_metadata(world.rank())};
    runtime::test::add_sample(trace, world.rank(), world.size(), std::stoll(argv[3]));
    if (mode == "wait" && world.rank() == 0) {
      std::puts("written");
      std::fflush(stdout);
      ::sleep(60);
    }
    trace.close("finished");
  };
  try {
    if (kind == "mpi")
      body(*comm::make_mpi_world({}));
    else
      comm::run_inprocess({.ranks = std::stoi(argv[2])}, body);
  } catch (Error const& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
