// Ends badly on purpose; what is expected of each way is in ends_badly.sh.
#include <unistd.h>

#include <string_view>

#include "comm/error.hpp"
#include "comm/mpi_world.hpp"

int main(int argc, char** argv) {
  std::string_view const way = argc > 1 ? argv[1] : "";
  auto const world = pikv::comm::make_mpi_world({});
  int const last = world->size() - 1;
  if (way == "guard") {
    auto const guard = world->guard("a nap of the test", 0.5);
    if (world->rank() == last) ::sleep(600);
    world->barrier(world->in(600));
  } else if (way == "abort") {
    if (world->rank() == last) world->abort(3, "the test says so");
    world->barrier(world->in(600));
  } else if (way == "throw") {
    try {
      if (world->rank() != last) throw pikv::RunError("rank " + std::to_string(world->rank()) + " had enough");
      auto const transport = world->make_transport();
      (void)transport->allocate(8, pikv::comm::Space::host);
    } catch (pikv::Error const& error) {
      world->abort(1, error.what());
    }
  }
  return 0;
}
