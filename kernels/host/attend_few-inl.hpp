// Included once per Highway target, hence the guard of its own.
#if defined(PIKV_KERNELS_HOST_ATTEND_FEW_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef PIKV_KERNELS_HOST_ATTEND_FEW_INL
#undef PIKV_KERNELS_HOST_ATTEND_FEW_INL
#else
#define PIKV_KERNELS_HOST_ATTEND_FEW_INL
#endif

#include "kernels/host/attend_work-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

/// Decode: up to this many records read a tile straight from the pages, each number converted once, in registers.
inline constexpr std::size_t few_records = 4;

/// 2 * lanes numbers of a row as fp32: bf16 as the even and the odd ones, since shifting and masking is all that takes; others in order.
template <DType type>
HWY_INLINE void load_pair(std::byte const* row, std::size_t at, FloatVec& first, FloatVec& second) {
  Floats const d;
  if constexpr (type == DType::bf16) {
    hn::RebindToUnsigned<Floats> const bits;
    auto const both = hn::LoadU(bits, reinterpret_cast<std::uint32_t const*>(row + at * sizeof(std::uint16_t)));
    first = hn::BitCast(d, hn::ShiftLeft<16>(both));
    second = hn::BitCast(d, hn::And(both, hn::Set(bits, 0xFFFF0000u)));
  } else {
    first = load_as_float<type>(row, at);
    second = load_as_float<type>(row, at + lanes);
  }
}

/// Where number i of a row ends up among the vectors of load_pair.
template <DType type>
HWY_INLINE std::size_t paired(std::size_t i) {
  if constexpr (type != DType::bf16) return i;
  std::size_t const pair = i / (2 * lanes) * (2 * lanes);
  return pair + i % 2 * lanes + (i - pair) / 2;
}

HWY_INLINE void fetch_row(std::byte const* row, std::size_t bytes) {   // into the second-level cache: the first has too few lines in flight
  for (std::size_t at = 0; at < bytes; at += 64) __builtin_prefetch(row + at, 0, 2);
}

/// Dot products of M queries, in the order of load_pair, with four keys at a time; the tile's values are fetched meanwhile.
template <DType type, int M>
HWY_NOINLINE void score_few(Work const& work) {
  Floats const d;
  std::size_t const head_dim = work.job.key_width, row_bytes = head_dim * size_of(type);
  float const* queries = work.keys;
  for (std::int32_t key = 0; key < work.tile.count; key += 4) {
    std::byte const* const* rows = work.tile.key + key;
    FloatVec sum[M][4];
    HWY_UNROLL(4)
    for (int m = 0; m < M; ++m) {
      HWY_UNROLL(4)
      for (int k = 0; k < 4; ++k) sum[m][k] = hn::Zero(d);
    }
    for (std::size_t i = 0; i < head_dim; i += 2 * lanes) {
      FloatVec first[4], second[4];
      HWY_UNROLL(4)
      for (int k = 0; k < 4; ++k) load_pair<type>(rows[k], i, first[k], second[k]);
      HWY_UNROLL(4)
      for (int m = 0; m < M; ++m) {
        FloatVec const q0 = hn::Load(d, queries + m * head_dim + i), q1 = hn::Load(d, queries + m * head_dim + i + lanes);
        HWY_UNROLL(4)
        for (int k = 0; k < 4; ++k) sum[m][k] = hn::MulAdd(q1, second[k], hn::MulAdd(q0, first[k], sum[m][k]));
      }
    }
    HWY_UNROLL(4)
    for (int m = 0; m < M; ++m) store_sums(sum[m][0], sum[m][1], sum[m][2], sum[m][3], work.weights + m * tile_keys + key);
    for (std::int32_t k = key; k < std::min(key + 4, work.tile.count); ++k) fetch_row(work.tile.value[k], row_bytes);
  }
}

/// Adds the tile's values, Pairs * 2 * lanes columns of them, to M results; the first keys of the next tile are fetched meanwhile.
template <DType type, int M, int Pairs>
HWY_NOINLINE void weigh_few(Work const& work, std::size_t column) {
  Floats const d;
  FloatVec sum[M][2 * Pairs];
  HWY_UNROLL(4)
  for (int m = 0; m < M; ++m) {
    FloatVec const correction = hn::Set(d, work.corrections[m]);
    HWY_UNROLL(4)
    for (int v = 0; v < 2 * Pairs; ++v) sum[m][v] = hn::Mul(correction, hn::Load(d, work.result(m) + column + v * lanes));
  }
  for (std::int32_t key = 0; key < work.tile.count; ++key) {
    if (column == 0 && key < work.next.count) fetch_row(work.next.key[key], work.job.key_width * size_of(type));
    FloatVec value[2 * Pairs];
    HWY_UNROLL(2)
    for (int p = 0; p < Pairs; ++p) load_pair<type>(work.tile.value[key], column + p * 2 * lanes, value[2 * p], value[2 * p + 1]);
    HWY_UNROLL(4)
    for (int m = 0; m < M; ++m) {
      FloatVec const weight = hn::Set(d, work.weights[m * tile_keys + key]);
      HWY_UNROLL(4)
      for (int v = 0; v < 2 * Pairs; ++v) sum[m][v] = hn::MulAdd(weight, value[v], sum[m][v]);
    }
  }
  HWY_UNROLL(4)
  for (int m = 0; m < M; ++m) {
    HWY_UNROLL(4)
    for (int v = 0; v < 2 * Pairs; ++v) hn::Store(sum[m][v], d, work.result(m) + column + v * lanes);
  }
}

template <DType type, int M>
void do_tile_for_few(Work const& work) {
  score_few<type, M>(work);
  for (std::size_t record = 0; record < M; ++record) soften(work, record);
  std::size_t column = 0;
  for (; column + 4 * lanes <= work.job.key_width; column += 4 * lanes) weigh_few<type, M, 2>(work, column);
  for (; column < work.job.key_width; column += 2 * lanes) weigh_few<type, M, 1>(work, column);
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#endif
