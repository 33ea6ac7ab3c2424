#pragma once

#include "kernels/emulation/block.hpp"

namespace pikv::kernels::cuda {

template <class T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(emulation::dynamic_shared_bytes);
}

}  // namespace pikv::kernels::cuda
