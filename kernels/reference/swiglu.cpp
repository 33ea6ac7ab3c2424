#include "kernels/swiglu.hpp"

#include <cmath>

namespace pikv::kernels::reference {

void swiglu(float* gate, float const* up, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) gate[i] = static_cast<float>(gate[i] / (1 + std::exp(-static_cast<double>(gate[i]))) * up[i]);
}

}  // namespace pikv::kernels::reference
