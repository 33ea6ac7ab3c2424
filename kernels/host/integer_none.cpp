#include "kernels/host/coded_unit.hpp"

namespace pikv::kernels::host {

IntegerKernels const* integer_kernels() { return nullptr; }

}  // namespace pikv::kernels::host
