#include "comm/cores.hpp"

#include <sched.h>
#include <unistd.h>

namespace pikv::comm {

int usable_cores() {
  cpu_set_t cores;   // of up to 1024 cores; beyond, the call fails and all count
  if (::sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
  return static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
}

}  // namespace pikv::comm
