#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "kernels/emulation/block.hpp"

// What CUDA C++ has in the global namespace for code that runs on the device.

#undef __shared__
#define __shared__ static   // one block runs at a time
#ifndef __launch_bounds__
#define __launch_bounds__(...)
#endif
#ifndef __noinline__
#define __noinline__ __attribute__((noinline))
#endif

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

#define PIKV_HERE std::source_location where = std::source_location::current()

inline void __syncthreads(PIKV_HERE) { pikv::kernels::emulation::barrier(false, where); }
inline int __syncthreads_count(int predicate, PIKV_HERE) { return pikv::kernels::emulation::barrier(predicate != 0, where); }
inline int __syncthreads_or(int predicate, PIKV_HERE) { return pikv::kernels::emulation::barrier(predicate != 0, where) > 0; }
inline int __syncthreads_and(int predicate, PIKV_HERE) { return pikv::kernels::emulation::barrier(predicate == 0, where) == 0; }
inline void __threadfence_block() {}
inline void __threadfence() {}
[[noreturn]] inline void __trap() { pikv::kernels::emulation::report("stops by __trap"); }

namespace pikv::kernels::emulation {

template <class T>
std::uint64_t to_bits(T const& value) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}
template <class T>
T from_bits(std::uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <class T>
T shuffle(WarpOp op, unsigned mask, T value, unsigned lane, int width, std::source_location const& where) {
  return from_bits<T>(warp_call({op, mask, to_bits(value), lane, static_cast<unsigned>(width)}, where));
}

/// *at becomes change(*at); the old value.
template <class T, class Change>
T atomic_change(T* at, Change const& change) {
  auto const apply = [](std::uint64_t old, void const* how) { return to_bits<T>((*static_cast<Change const*>(how))(from_bits<T>(old))); };
  return from_bits<T>(atomic(at, sizeof(T), apply, &change));
}

}  // namespace pikv::kernels::emulation

inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, PIKV_HERE) {
  pikv::kernels::emulation::warp_call({pikv::kernels::emulation::WarpOp::sync, mask}, where);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = warpSize, PIKV_HERE) {
  return pikv::kernels::emulation::shuffle(pikv::kernels::emulation::WarpOp::shuffle, mask, value, static_cast<unsigned>(lane), width, where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = warpSize, PIKV_HERE) {
  return pikv::kernels::emulation::shuffle(pikv::kernels::emulation::WarpOp::shuffle_up, mask, value, distance, width, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = warpSize, PIKV_HERE) {
  return pikv::kernels::emulation::shuffle(pikv::kernels::emulation::WarpOp::shuffle_down, mask, value, distance, width, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = warpSize, PIKV_HERE) {
  return pikv::kernels::emulation::shuffle(pikv::kernels::emulation::WarpOp::shuffle_xor, mask, value, static_cast<unsigned>(lanes), width, where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, PIKV_HERE) {
  return static_cast<unsigned>(pikv::kernels::emulation::warp_call({pikv::kernels::emulation::WarpOp::ballot, mask, predicate != 0}, where));
}
inline int __any_sync(unsigned mask, int predicate, PIKV_HERE) { return __ballot_sync(mask, predicate, where) != 0; }
inline int __all_sync(unsigned mask, int predicate, PIKV_HERE) { return __ballot_sync(mask, predicate == 0, where) == 0; }
template <class T>
unsigned __match_any_sync(unsigned mask, T value, PIKV_HERE) {
  using namespace pikv::kernels::emulation;
  return static_cast<unsigned>(warp_call({WarpOp::match_any, mask, to_bits(value)}, where));
}

#define PIKV_REDUCE(name, type, op)                                                                                                   \
  inline type name(unsigned mask, type value, PIKV_HERE) {                                                                            \
    return static_cast<type>(                                                                                                         \
        pikv::kernels::emulation::warp_call({pikv::kernels::emulation::WarpOp::op, mask, static_cast<std::uint64_t>(value)}, where)); \
  }
PIKV_REDUCE(__reduce_add_sync, unsigned, add)
PIKV_REDUCE(__reduce_add_sync, int, add)
PIKV_REDUCE(__reduce_min_sync, unsigned, min)
PIKV_REDUCE(__reduce_min_sync, int, min_signed)
PIKV_REDUCE(__reduce_max_sync, unsigned, max)
PIKV_REDUCE(__reduce_max_sync, int, max_signed)
PIKV_REDUCE(__reduce_and_sync, unsigned, bit_and)
PIKV_REDUCE(__reduce_or_sync, unsigned, bit_or)
PIKV_REDUCE(__reduce_xor_sync, unsigned, bit_xor)
#undef PIKV_REDUCE
#undef PIKV_HERE

template <class T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  return pikv::kernels::emulation::atomic_change(at, [=](T old) -> T { return static_cast<T>(old + value); });
}
template <std::integral T>
T atomicSub(T* at, std::type_identity_t<T> value) {
  return pikv::kernels::emulation::atomic_change(at, [=](T old) -> T { return static_cast<T>(old - value); });
}
template <std::integral T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  return pikv::kernels::emulation::atomic_change(at, [=](T old) { return std::max(old, value); });
}
template <std::integral T>
T atomicMin(T* at, std::type_identity_t<T> value) {
  return pikv::kernels::emulation::atomic_change(at, [=](T old) { return std::min(old, value); });
}
template <std::integral T>
T atomicAnd(T* at, std::type_identity_t<T> value) {
  return pikv::kernels::emulation::atomic_change(at, [=](T old) -> T { return old & value; });
}
template <std::integral T>
T atomicOr(T* at, std::type_identity_t<T> value) {
  return pikv::kernels::emulation::atomic_change(at, [=](T old) -> T { return old | value; });
}
template <std::integral T>
T atomicXor(T* at, std::type_identity_t<T> value) {
  return pikv::kernels::emulation::atomic_change(at, [=](T old) -> T { return old ^ value; });
}
template <class T>
T atomicExch(T* at, std::type_identity_t<T> value) {
  return pikv::kernels::emulation::atomic_change(at, [=](T) { return value; });
}
template <std::integral T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return pikv::kernels::emulation::atomic_change(at, [=](T old) { return old == expected ? value : old; });
}

inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __saturatef(float x) { return x > 0 ? std::min(x, 1.0f) : 0.0f; }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline int __float2int_rn(float x) { return x != x ? 0 : static_cast<int>(std::clamp(std::nearbyint(double{x}), -2147483648.0, 2147483647.0)); }
inline unsigned __float2uint_rn(float x) { return x != x ? 0 : static_cast<unsigned>(std::clamp(std::nearbyint(double{x}), 0.0, 4294967295.0)); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<unsigned long long>(static_cast<Wide>(a) * b >> 64);
}
inline int __dp4a(int a, int b, int sum) {
  for (int shift = 0; shift < 32; shift += 8) sum += static_cast<std::int8_t>(a >> shift) * static_cast<std::int8_t>(b >> shift);
  return sum;
}
template <class T>
T __ldg(T const* at) {
  return *at;
}
template <class T>
T __ldcs(T const* at) {
  return *at;
}
template <class T>
void __stcs(T* at, T value) {
  *at = value;
}

#define PIKV_MIN_MAX(type)                                  \
  inline type min(type a, type b) { return b < a ? b : a; } \
  inline type max(type a, type b) { return a < b ? b : a; }
PIKV_MIN_MAX(int)
PIKV_MIN_MAX(unsigned)
PIKV_MIN_MAX(long)
PIKV_MIN_MAX(unsigned long)
PIKV_MIN_MAX(float)
#undef PIKV_MIN_MAX
