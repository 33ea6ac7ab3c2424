#pragma once

#include <cstddef>

// The emulation has its own version of this file, in its own folder of includes.
namespace pikv::kernels::cuda {

extern __shared__ __align__(16) std::byte dynamic_shared_bytes[];

/// The dynamic shared memory of this block: as many bytes as the launch asked for.
template <class T>
__device__ T* dynamic_shared() {
  return reinterpret_cast<T*>(dynamic_shared_bytes);
}

}  // namespace pikv::kernels::cuda
