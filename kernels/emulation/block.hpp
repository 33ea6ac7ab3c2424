#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <string>

#include "kernels/emulation/emulation.hpp"

// What runs inside an emulated kernel asks for.
namespace pikv::kernels::emulation {

inline constexpr unsigned warp_size = 32, most_threads = 1024;
inline constexpr std::size_t most_shared_bytes = 227 * 1024;   // of sm_90
alignas(256) extern std::byte dynamic_shared_bytes[most_shared_bytes];

/// __syncthreads and its relatives: the number of threads whose `predicate` was true, once all threads of the block are here.
int barrier(bool predicate, std::source_location const& where);

/// What the lanes of a mask do together; each lane gets its result once all have come.
enum class WarpOp : std::uint8_t {
  sync,
  shuffle,
  shuffle_up,
  shuffle_down,
  shuffle_xor,
  ballot,
  add,
  min,
  max,
  min_signed,
  max_signed,
  bit_and,
  bit_or,
  bit_xor,
  match_any
};
struct WarpCall {
  WarpOp op;
  unsigned mask;
  std::uint64_t value = 0;
  unsigned lane = 0;   // or distance, or lane mask, of a shuffle
  unsigned width = warp_size;
};
std::uint64_t warp_call(WarpCall const& call, std::source_location const& where);

/// The `bytes` (up to 8) there, replaced by what `change` makes of them; the old ones.
std::uint64_t atomic(void* at, std::size_t bytes, std::uint64_t (*change)(std::uint64_t old, void const* operands), void const* operands);

/// Ends the launch: this thread did something wrong.
[[noreturn]] void report(std::string const& what);

}  // namespace pikv::kernels::emulation
