#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

#include "kernels/host/tiles.hpp"

namespace pikv::kernels::host {

extern TileKernels const amx_kernels;

namespace {

/// Linux gives a process the 8 KiB of tiles only when asked.
bool granted() {
  constexpr long request_permission = 0x1023, tile_data = 18;   // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return ::syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

std::atomic<bool> tiles_allowed{true};

}  // namespace

TileKernels const* tile_kernels() {
  static bool const here = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("amx-tile") &&
                           __builtin_cpu_supports("amx-bf16") && granted();
  return here && tiles_allowed.load(std::memory_order_relaxed) ? &amx_kernels : nullptr;
}

void allow_tiles(bool allowed) { tiles_allowed = allowed; }

}  // namespace pikv::kernels::host
