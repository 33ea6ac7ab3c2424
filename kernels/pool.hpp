#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/dtype.hpp"

namespace pikv::kernels {

/// Shape of one uncompressed page, layout 1: K[kv_heads][page_tokens][head_dim], then V the same, without padding.
struct PageLayout {
  DType dtype = DType::bf16;
  std::int32_t kv_heads = 0;
  std::int32_t page_tokens = 0;   // power of two
  std::int32_t head_dim = 0;

  constexpr std::size_t head_scalars() const { return static_cast<std::size_t>(page_tokens) * static_cast<std::size_t>(head_dim); }
  constexpr std::size_t half_bytes() const { return static_cast<std::size_t>(kv_heads) * head_scalars() * size_of(dtype); }
  constexpr std::size_t bytes() const { return 2 * half_bytes(); }
};

/// A pool of page slots, trivially copyable so that a kernel takes it by value. Slot s starts at base + s * slot_bytes.
struct PoolView {
  std::byte* base = nullptr;
  std::size_t slot_bytes = 0;   // >= layout.bytes(), a multiple of 4 KiB
  PageLayout layout;

  constexpr std::byte* keys(std::int32_t slot) const { return base + static_cast<std::size_t>(slot) * slot_bytes; }
  constexpr std::byte* values(std::int32_t slot) const { return keys(slot) + layout.half_bytes(); }
};

}  // namespace pikv::kernels
