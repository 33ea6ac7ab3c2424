#include "comm/cores.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <span>

namespace pikv::comm {

int usable_cores() {
  cpu_set_t cores;   // of up to 1024 cores; beyond, the call fails and all count
  if (::sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
  return static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
}

int ranks_on_these_cores(World& world, Deadline deadline) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  ::sched_getaffinity(0, sizeof cores, &cores);
  auto const mine = std::as_bytes(std::span{&cores, 1});
  auto const all = world.all_gather(mine, deadline);
  int same = 0;
  for (Rank rank = 0; rank < world.size(); ++rank)
    same += world.host(rank) == world.host(world.rank()) && std::ranges::equal(all[static_cast<std::size_t>(rank)], mine) ? 1 : 0;
  return same;
}

}  // namespace pikv::comm
