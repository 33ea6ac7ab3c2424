// Compiled for AVX-512 with BF16 and AMX: nothing here may be inline in a header, lest the linker give it to another processor.
#include <immintrin.h>

#include "kernels/host/tiles.hpp"

namespace pikv::kernels::host {
namespace {

// A tile is 16 rows of 64 bytes. tdpbf16ps adds to C [16][16] fp32 the product of A [16][32] and B [32][16], whose rows lie in pairs.
// What was stored does not reach a tile, nor what a tile stored a vector, before it is in the cache: hence the order of steps below.
constexpr int terms = 3;                        // of a query
constexpr int a0 = 4, a1 = 5, b0 = 6, b1 = 7;   // tiles; 0 to 3 are sums

struct alignas(64) TileConfig {
  unsigned char palette = 1, start_row = 0, reserved[14] = {};
  unsigned short row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  unsigned char rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
constexpr TileConfig tile_config{};

struct alignas(64) TileBuffer {
  float at[16][16];
};

// The intrinsics of g++ 12 do not say that they read memory.
template <int tile>
void load(void const* at, std::size_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(at), "r"(stride), "i"(tile) : "memory");
}
template <int tile>
void store(TileBuffer& to) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to.at), "r"(std::size_t{64}), "i"(tile) : "memory");
}
template <int tile>
void clear() {
  asm volatile("tilezero %%tmm%c0" ::"i"(tile));
}
template <int sum, int a, int b>
void multiply() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(sum), "i"(a), "i"(b));
}

void begin() { _tile_loadconfig(&tile_config); }
void end() { _tile_release(); }

/// The next bf16 term of x, which keeps the rest.
inline __m256i take_term(__m512& x) {
  __m256i const term = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x));
  x = _mm512_sub_ps(x, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(term), 16)));
  return term;
}

std::size_t prepared_bytes(std::size_t width) { return 32 * width; }

/// Queries as the B of keys: a tile per 32 numbers; column 4 * term + record, the last four are zero.
void prepare(float const* const* queries, std::size_t records, std::size_t width, std::byte* prepared) {
  __builtin_memset(prepared, 0, prepared_bytes(width));
  for (std::size_t m = 0; m < records; ++m)
    for (std::size_t i = 0; i < width; i += 16) {
      __m512 x = _mm512_loadu_ps(queries[m] + i);
      for (std::size_t term = 0; term < terms; ++term) {
        alignas(32) int pairs[8];
        _mm256_store_si256(reinterpret_cast<__m256i*>(pairs), take_term(x));
        for (std::size_t pair = 0; pair < 8; ++pair) __builtin_memcpy(prepared + 64 * (i / 2 + pair) + 4 * (4 * term + m), pairs + pair, 4);
      }
    }
}

inline __m512 row(TileBuffer const& tile, int i) { return _mm512_load_ps(tile.at[i]); }

/// Row i, the sum of its four blocks, in block i of the result.
inline __m512 block_sums(__m512 a, __m512 b, __m512 c, __m512 d) {
  __m512 const ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE)),   // a0+a2 a1+a3 b0+b2 b1+b3
      cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xEE));
  return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xDD));
}

/// dots [records][stride] of 16 keys, whose rows have 4 * term + record.
inline void store_dots(TileBuffer const& tile, std::size_t records, float* dots, std::size_t stride) {
  __m512 x[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) x[i] = block_sums(row(tile, i), row(tile, 4 + i), row(tile, 8 + i), row(tile, 12 + i));   // block b: key 4 b + i
  __m512 const low01 = _mm512_unpacklo_ps(x[0], x[1]), high01 = _mm512_unpackhi_ps(x[0], x[1]), low23 = _mm512_unpacklo_ps(x[2], x[3]),
               high23 = _mm512_unpackhi_ps(x[2], x[3]);
  __m512 const by_record[tile_records] = {_mm512_shuffle_ps(low01, low23, 0x44), _mm512_shuffle_ps(low01, low23, 0xEE),
                                          _mm512_shuffle_ps(high01, high23, 0x44), _mm512_shuffle_ps(high01, high23, 0xEE)};
#pragma GCC unroll 4
  for (std::size_t m = 0; m < tile_records; ++m)
    if (m < records) _mm512_storeu_ps(dots + m * stride, by_record[m]);
}

/// 16 rows that a tile can load: as they are, where they lie one after the other, or a copy; the last of `count` again and again after that.
inline std::byte const* together(std::byte const* const* rows, std::size_t count, std::size_t row_bytes, std::byte* copy) {
  bool as_they_are = count >= 16;
  for (std::size_t i = 1; i < 16 && as_they_are; ++i) as_they_are = rows[i] == rows[0] + i * row_bytes;
  if (as_they_are) return rows[0];
  for (std::size_t i = 0; i < 16; ++i) __builtin_memcpy(copy + i * row_bytes, rows[i < count ? i : count - 1], row_bytes);
  return copy;
}

/// Goes through the lines of the rows ahead.
class FetchRows {
 public:
  FetchRows(RowsAhead const& ahead, std::size_t row_bytes) : row_{ahead.rows}, end_{ahead.rows + ahead.count}, row_bytes_{row_bytes} {}
  void fetch(std::size_t lines) {
    for (; lines > 0 && row_ < end_; --lines) {
      _mm_prefetch(reinterpret_cast<char const*>(*row_) + offset_, _MM_HINT_T0);
      offset_ += 64;
      if (offset_ < row_bytes_) continue;
      offset_ = 0;
      ++row_;
    }
  }

 private:
  std::byte const *const *row_, *const *end_;
  std::size_t row_bytes_, offset_ = 0;
};

constexpr std::size_t most_row_bytes = 2 * most_tile_width;

/// Scores 16 * T keys.
template <int T>
inline void score_some(std::byte const* const* keys, std::size_t row_bytes, FetchRows& ahead, std::byte const* prepared,
                       std::byte* copies, TileBuffer* tiles) {
  std::byte const* at[4];
  for (int t = 0; t < T; ++t) at[t] = together(keys + 16 * t, 16, row_bytes, copies + 16 * most_row_bytes * t);
  clear<0>();
  clear<1>();
  if constexpr (T == 4) clear<2>(), clear<3>();
  for (std::size_t offset = 0; offset < row_bytes; offset += 64) {
    load<b0>(prepared + 16 * offset, 64);
    load<a0>(at[0] + offset, row_bytes);
    multiply<0, a0, b0>();
    ahead.fetch(16);
    load<a1>(at[1] + offset, row_bytes);
    multiply<1, a1, b0>();
    ahead.fetch(16);
    if constexpr (T == 4) {
      load<a0>(at[2] + offset, row_bytes);
      multiply<2, a0, b0>();
      ahead.fetch(16);
      load<a1>(at[3] + offset, row_bytes);
      multiply<3, a1, b0>();
      ahead.fetch(16);
    }
  }
  store<0>(tiles[0]);
  store<1>(tiles[1]);
  if constexpr (T == 4) store<2>(tiles[2]), store<3>(tiles[3]);
}

void score(std::byte const* const* keys, std::size_t count, std::size_t width, RowsAhead ahead, std::byte const* prepared, std::size_t records,
                float* dots, std::size_t dots_stride) {
  std::size_t const row_bytes = 2 * width;
  alignas(64) std::byte copies[4 * 16 * most_row_bytes];
  TileBuffer tiles[most_tile_rows / 16];
  FetchRows fetcher{ahead, row_bytes};
  std::size_t key = 0;
  for (; key + 64 <= count; key += 64) score_some<4>(keys + key, row_bytes, fetcher, prepared, copies, tiles + key / 16);
  for (; key < count; key += 32) score_some<2>(keys + key, row_bytes, fetcher, prepared, copies, tiles + key / 16);
  for (key = 0; key < count; key += 16) store_dots(tiles[key / 16], records, dots + key, dots_stride);
}

/// Weights of 16 tokens as an A for values in rows. A row of values is a row of B, its numbers in pairs; so a weight stands beside a zero: before it
/// for the even numbers, after it for the odd ones. Two terms, good to 2^-18, times four records times two are the 16 rows.
struct alignas(64) RowWeights {
  __m512i even[2][tile_records], odd[2][tile_records];   // by term
};

inline void split_row_weights(float const* weights, std::size_t stride, std::size_t records, std::size_t count, RowWeights& to) {
  __mmask16 const used = count >= 16 ? 0xFFFF : static_cast<__mmask16>((1u << count) - 1);
  __m512i const top = _mm512_set1_epi32(static_cast<int>(0xFFFF0000u)), below_half = _mm512_set1_epi32(0x7FFF), one = _mm512_set1_epi32(1);
#pragma GCC unroll 4
  for (std::size_t m = 0; m < tile_records; ++m) {
    __m512 x = m < records ? _mm512_maskz_loadu_ps(used, weights + m * stride) : _mm512_setzero_ps();
#pragma GCC unroll 2
    for (std::size_t term = 0; term < 2; ++term) {
      __m512i const bits = _mm512_castps_si512(x), last = _mm512_and_si512(_mm512_srli_epi32(bits, 16), one);
      __m512i const rounded = _mm512_and_si512(_mm512_add_epi32(bits, _mm512_add_epi32(below_half, last)), top);
      x = _mm512_sub_ps(x, _mm512_castsi512_ps(rounded));
      to.even[term][m] = _mm512_srli_epi32(rounded, 16);
      to.odd[term][m] = rounded;
    }
  }
}

/// The rows are weights, as RowWeights has them: result = keep * result + the 32 numbers of the tile, records [stride].
inline void add_columns(TileBuffer const& tile, std::size_t records, float const* keep, float* result, std::size_t stride) {
  __m512i const low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
                high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  for (std::size_t m = 0; m < records; ++m, result += stride) {
    int const at = static_cast<int>(m);
    __m512 const kept = _mm512_set1_ps(keep[m]), even = _mm512_add_ps(row(tile, at), row(tile, 4 + at)),
                 odd = _mm512_add_ps(row(tile, 8 + at), row(tile, 12 + at));
    _mm512_storeu_ps(result, _mm512_fmadd_ps(_mm512_loadu_ps(result), kept, _mm512_permutex2var_ps(even, low, odd)));
    _mm512_storeu_ps(result + 16, _mm512_fmadd_ps(_mm512_loadu_ps(result + 16), kept, _mm512_permutex2var_ps(even, high, odd)));
  }
}

/// Sums of weights and T times 32 columns of values.
template <int T>
inline void weigh_some(std::byte const* const* values, std::size_t count, std::size_t row_bytes, std::size_t offset, RowWeights const* weights,
                       FetchRows& ahead, std::size_t lines, TileBuffer* tiles) {
  alignas(64) std::byte copy[16 * most_row_bytes];
  clear<0>();
  if constexpr (T > 1) clear<1>();
  if constexpr (T > 2) clear<2>();
  if constexpr (T > 3) clear<3>();
  for (std::size_t token = 0; token < count; token += 16, ++weights) {
    std::byte const* const at = together(values + token, count - token, row_bytes, copy) + offset;
    load<a0>(weights, 64);
    load<b0>(at, row_bytes);
    multiply<0, a0, b0>();
    ahead.fetch(lines);
    if constexpr (T > 1) {
      load<b1>(at + 64, row_bytes);
      multiply<1, a0, b1>();
      ahead.fetch(lines);
    }
    if constexpr (T > 2) {
      load<b0>(at + 128, row_bytes);
      multiply<2, a0, b0>();
      ahead.fetch(lines);
    }
    if constexpr (T > 3) {
      load<b1>(at + 192, row_bytes);
      multiply<3, a0, b1>();
      ahead.fetch(lines);
    }
  }
  store<0>(tiles[0]);
  if constexpr (T > 1) store<1>(tiles[1]);
  if constexpr (T > 2) store<2>(tiles[2]);
  if constexpr (T > 3) store<3>(tiles[3]);
}

void weigh(std::byte const* const* values, std::size_t count, std::size_t width, RowsAhead ahead, float const* weights,
                std::size_t weights_stride, std::size_t records, float const* keep, float* result, std::size_t result_stride) {
  RowWeights split[most_tile_rows / 16];
  TileBuffer tiles[most_tile_width / 32];
  std::size_t const row_bytes = 2 * width, chunks = width / 32, lines = 16;
  FetchRows fetcher{ahead, row_bytes};
  for (std::size_t token = 0; token < count; token += 16)
    split_row_weights(weights + token, weights_stride, records, count - token, split[token / 16]);
  for (std::size_t chunk = 0; chunk < chunks; chunk += 4) {
    std::size_t const offset = 64 * chunk;
    auto const weigh = [&](auto some) { some(values, count, row_bytes, offset, split, fetcher, lines, tiles + chunk); };
    if (chunks - chunk == 1)
      weigh(weigh_some<1>);
    else if (chunks - chunk == 2)
      weigh(weigh_some<2>);
    else if (chunks - chunk == 3)
      weigh(weigh_some<3>);
    else
      weigh(weigh_some<4>);
  }
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) add_columns(tiles[chunk], records, keep, result + 32 * chunk, result_stride);
}

}  // namespace

extern TileKernels const amx_kernels;
TileKernels const amx_kernels{"AMX", begin, end, prepared_bytes, prepare, score, weigh};

}  // namespace pikv::kernels::host
