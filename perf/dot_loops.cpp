// Compiled for AVX-512 with VNNI and AMX; the other file where the compiler is for another processor.
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

int multiply_tiles(double count) {
  struct alignas(64) {
    unsigned char palette = 1, start_row = 0, reserved[14] = {};
    unsigned short row_bytes[16] = {64, 64, 64, 64, 64, 64};
    unsigned char rows[16] = {16, 16, 16, 16, 16, 16};
  } const config;
  alignas(64) float tile[16][16] = {};
  _tile_loadconfig(&config);
  _tile_zero(4);
  _tile_zero(5);
  for (auto left = static_cast<long>(count / (4.0 * 16 * 16 * 32)); left > 0; --left) {
    _tile_dpbf16ps(0, 4, 5);
    _tile_dpbf16ps(1, 4, 5);
    _tile_dpbf16ps(2, 4, 5);
    _tile_dpbf16ps(3, 4, 5);
  }
  _tile_stored(0, tile, 64);
  _tile_release();
  return static_cast<int>(tile[0][0]);
}

}  // namespace pikv::perf
