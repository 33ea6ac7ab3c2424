#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/stream.hpp"

namespace pikv::kernels {

/// Pages of any codec as bytes: `page_bytes`, a multiple of 16, at base + slot * slot_bytes; base and slot_bytes are multiples of 16.
struct SlotsView {
  std::byte* base = nullptr;
  std::size_t slot_bytes = 0, page_bytes = 0;
};

/// Copies between listed slots and a dense block [count][page_bytes], ready to send or just received, apart from them; its address is a multiple
/// of 16.
///   slots [count]   no slot twice in scatter; count = 0 does nothing
/// Moves 2 * count * page_bytes.
namespace reference {
void gather(SlotsView const& from, std::int32_t const* slots, std::int32_t count, std::byte* block);
void scatter(std::byte const* block, std::int32_t const* slots, std::int32_t count, SlotsView const& to);
}  // namespace reference
namespace cuda {   // device memory (the block: or pinned host memory); queued, not finished, on return; stream is a CudaStream
void gather(SlotsView const& from, std::int32_t const* slots, std::int32_t count, std::byte* block, Stream& stream);
void scatter(std::byte const* block, std::int32_t const* slots, std::int32_t count, SlotsView const& to, Stream& stream);

/// xxh3-64 (seed 0) of each slice of listed pages, as the header of a page holds them (shards/header.hpp): out [count][slices], slice i of a page is
/// its bytes from i * slice_bytes on, slice_bytes long. They are a multiple of 4 and least_checksum_bytes or more; else std::runtime_error.
void checksum(SlotsView const& pages, std::int32_t const* slots, std::int32_t count, std::size_t slice_bytes, std::int32_t slices, std::uint64_t* out,
              Stream& stream);
inline constexpr std::size_t least_checksum_bytes = 241;
}  // namespace cuda

}  // namespace pikv::kernels
