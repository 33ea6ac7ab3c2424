#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/stream.hpp"
#include "kernels/pages.hpp"

namespace pikv::kernels::cuda {
namespace {

constexpr int threads = 256;

/// One thread per 16 bytes. Bytes: twice the pages'. Limit: memory bandwidth; the link's, where the block is on the host.
template <bool to_block>
__global__ void __launch_bounds__(threads) copy_slots(SlotsView pool, int const* slots, std::byte* block, unsigned blocks_of_page) {
  unsigned const page = blockIdx.x / blocks_of_page;
  std::size_t const at = (std::size_t{blockIdx.x % blocks_of_page} * threads + threadIdx.x) * sizeof(uint4);
  if (at >= pool.page_bytes) return;
  auto* const in_slot = reinterpret_cast<uint4*>(pool.base + static_cast<std::size_t>(slots[page]) * pool.slot_bytes + at);
  auto* const in_block = reinterpret_cast<uint4*>(block + page * pool.page_bytes + at);
  if (to_block)
    *in_block = *in_slot;
  else
    *in_slot = *in_block;
}

template <bool to_block>
void copy(SlotsView const& pool, std::int32_t const* slots, std::int32_t count, std::byte* block, Stream& stream, char const* what) {
  CUstream_st* const queue = handle_of(stream);
  if (count == 0 || pool.page_bytes == 0) return;
  constexpr std::size_t of_block = threads * sizeof(uint4);
  auto const blocks_of_page = static_cast<unsigned>((pool.page_bytes + of_block - 1) / of_block);
  launch(copy_slots<to_block>, static_cast<unsigned>(count) * blocks_of_page, threads, 0, queue, what, pool, slots, block, blocks_of_page);
}

}  // namespace

void gather(SlotsView const& from, std::int32_t const* slots, std::int32_t count, std::byte* block, Stream& stream) {
  copy<true>(from, slots, count, block, stream, "cuda::gather");
}

void scatter(std::byte const* block, std::int32_t const* slots, std::int32_t count, SlotsView const& to, Stream& stream) {
  copy<false>(to, slots, count, const_cast<std::byte*>(block), stream, "cuda::scatter");   // which it only reads
}

}  // namespace pikv::kernels::cuda
