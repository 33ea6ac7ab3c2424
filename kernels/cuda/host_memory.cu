#include "kernels/cuda/host_memory.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "kernels/cuda/check.cuh"

namespace pikv::kernels::cuda {
namespace {

constexpr std::align_val_t alignment{256};

}  // namespace

std::byte* HostMemory::allocate(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  void* pinned = nullptr;
  if (cudaHostAlloc(&pinned, bytes, cudaHostAllocPortable) == cudaSuccess) return static_cast<std::byte*>(pinned);
  static_cast<void>(cudaGetLastError());   // else a later call would report it
  auto* const at = static_cast<std::byte*>(::operator new(bytes, alignment));
  plain_[at] = bytes;
  plain_bytes_ += bytes;
  most_plain_bytes_ = std::max(most_plain_bytes_, plain_bytes_);
  return at;
}

void HostMemory::free(std::byte* at) noexcept {
  if (at == nullptr) return;
  auto const plain = plain_.find(at);
  if (plain == plain_.end()) return static_cast<void>(cudaFreeHost(at));
  plain_bytes_ -= plain->second;
  plain_.erase(plain);
  ::operator delete(at, alignment);
}

std::byte const* Staged::put(std::span<std::byte const> bytes) {
  if (at_ == nullptr) at_ = memory_.allocate(room);
  std::byte* const place = at_ + used_;
  std::memcpy(place, bytes.data(), bytes.size());
  used_ += (bytes.size() + 15) / 16 * 16;
  return place;
}

}  // namespace pikv::kernels::cuda
