#include <hwy/targets.h>

#include "kernels/host/coded_unit.hpp"

namespace pikv::kernels::host {

extern IntegerKernels const vnni_kernels;

IntegerKernels const* integer_kernels() { return hwy::SupportedTargets() & HWY_AVX3_DL ? &vnni_kernels : nullptr; }

}  // namespace pikv::kernels::host
