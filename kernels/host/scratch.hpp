#pragma once

#include <hwy/aligned_allocator.h>

#include <cstddef>

namespace pikv::kernels::host {

/// Memory of one calling thread that grows to the largest call and is kept, so that a call allocates nothing once warm. Vector-aligned.
template <class T>
class Scratch {
 public:
  T* at_least(std::size_t count) {
    if (count > size_) {
      data_ = hwy::AllocateAligned<T>(count);
      size_ = count;
    }
    return data_.get();
  }

 private:
  hwy::AlignedFreeUniquePtr<T[]> data_;
  std::size_t size_ = 0;
};

}  // namespace pikv::kernels::host
