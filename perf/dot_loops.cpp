// Compiled for AVX-512 with VNNI; the other file where the compiler is for another processor.
#include "dot_loops.hpp"

#include <immintrin.h>

namespace pikv::perf {

int multiply_bytes(double count) {
  __m512i sum[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) sum[i] = _mm512_set1_epi32(i);
  __m512i const a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
  for (auto left = static_cast<long>(count / (32 * 64)); left > 0; --left) {
#pragma GCC unroll 32
    for (int i = 0; i < 32; ++i) sum[i % 16] = _mm512_dpbusd_epi32(sum[i % 16], a, b);
  }
#pragma GCC unroll 16
  for (int i = 1; i < 16; ++i) sum[0] = _mm512_add_epi32(sum[0], sum[i]);
  return _mm512_reduce_add_epi32(sum[0]);
}

}  // namespace pikv::perf
