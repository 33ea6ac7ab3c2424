#include "kernels/host/coded_unit.hpp"

namespace pikv::kernels::host {

extern IntegerKernels const vnni_kernels;

IntegerKernels const* integer_kernels() {
  static bool const here = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi");
  return here ? &vnni_kernels : nullptr;
}

}  // namespace pikv::kernels::host
