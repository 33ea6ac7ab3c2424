// Included once per Highway target, hence the guard of its own.
#if defined(PIKV_KERNELS_HOST_ATTEND_MANY_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef PIKV_KERNELS_HOST_ATTEND_MANY_INL
#undef PIKV_KERNELS_HOST_ATTEND_MANY_INL
#else
#define PIKV_KERNELS_HOST_ATTEND_MANY_INL
#endif

#include "kernels/host/attend_work-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR   // which has no shuffles

/// 128-bit blocks from every fourth of the rows, `offset` bytes into each: block b comes from rows[4 b].
template <class D>
HWY_INLINE hn::Vec<D> load_blocks(D d, std::byte const* const* rows, std::size_t offset) {
  constexpr std::size_t width = hn::MaxLanes(D());
  if constexpr (width == 4) {
    return hn::LoadU(d, reinterpret_cast<std::uint32_t const*>(rows[0] + offset));
  } else {
    hn::Half<D> const half;
    return hn::Combine(d, load_blocks(half, rows + width / 2, offset), load_blocks(half, rows, offset));
  }
}

/// Stores the 32-bit word of each key as one row of fp32 or, of a 16-bit type, as two.
template <DType type, class V>
HWY_INLINE void store_word(V word, float* row) {
  Floats const d;
  hn::RebindToUnsigned<Floats> const bits;
  if constexpr (type == DType::f32) {
    hn::Store(hn::BitCast(d, word), d, row);
  } else if constexpr (type == DType::bf16) {
    hn::Store(hn::BitCast(d, hn::ShiftLeft<16>(word)), d, row);
    hn::Store(hn::BitCast(d, hn::And(word, hn::Set(bits, 0xFFFF0000u))), d, row + tile_keys);
  } else {
    hn::Rebind<std::uint16_t, Floats> const narrow;
    hn::Rebind<hwy::float16_t, Floats> const half;
    auto const low = hn::TruncateTo(narrow, hn::And(word, hn::Set(bits, 0xFFFFu))), high = hn::TruncateTo(narrow, hn::ShiftRight<16>(word));
    hn::Store(hn::PromoteTo(d, hn::BitCast(half, low)), d, row);
    hn::Store(hn::PromoteTo(d, hn::BitCast(half, high)), d, row + tile_keys);
  }
}

/// Transposes `lanes` keys, four words of each at a time, as far as that goes: the number of scalars done.
template <DType type>
HWY_INLINE std::size_t transpose_keys(std::byte const* const* rows, std::size_t head_dim, float* to) {
  hn::RebindToUnsigned<Floats> const d;
  hn::RepartitionToWide<decltype(d)> const pair;
  constexpr std::size_t per_word = 4 / size_of(type), step = 4 * per_word, word_floats = per_word * tile_keys;
  std::size_t i = 0;
  for (; i + step <= head_dim; i += step, to += 4 * word_floats) {
    std::size_t const offset = i * size_of(type);
    auto const k0 = load_blocks(d, rows, offset), k1 = load_blocks(d, rows + 1, offset);
    auto const k2 = load_blocks(d, rows + 2, offset), k3 = load_blocks(d, rows + 3, offset);
    auto const low01 = hn::BitCast(pair, hn::InterleaveLower(d, k0, k1)), high01 = hn::BitCast(pair, hn::InterleaveUpper(d, k0, k1));
    auto const low23 = hn::BitCast(pair, hn::InterleaveLower(d, k2, k3)), high23 = hn::BitCast(pair, hn::InterleaveUpper(d, k2, k3));
    store_word<type>(hn::BitCast(d, hn::InterleaveLower(pair, low01, low23)), to);
    store_word<type>(hn::BitCast(d, hn::InterleaveUpper(pair, low01, low23)), to + word_floats);
    store_word<type>(hn::BitCast(d, hn::InterleaveLower(pair, high01, high23)), to + 2 * word_floats);
    store_word<type>(hn::BitCast(d, hn::InterleaveUpper(pair, high01, high23)), to + 3 * word_floats);
  }
  return i;
}

#else

template <DType type>
std::size_t transpose_keys(std::byte const* const*, std::size_t, float*) {
  return 0;
}

#endif

/// keys [head_dim][tile_keys] = the tile's keys as fp32.
template <DType type>
HWY_INLINE void convert_keys(Tile const& tile, std::size_t head_dim, float* keys) {
  for (std::size_t n = 0; n < static_cast<std::size_t>(tile.padded); n += lanes)
    for (std::size_t i = transpose_keys<type>(tile.key + n, head_dim, keys + n); i < head_dim; ++i)
      for (std::size_t key = n; key < n + lanes; ++key) keys[i * tile_keys + key] = load_scalar(type, tile.key[key], i);
}

/// values [count][columns] = the tile's values as fp32, padded with zeros.
template <DType type>
HWY_INLINE void convert_values(Tile const& tile, std::size_t head_dim, std::size_t columns, float* values) {
  for (std::int32_t key = 0; key < tile.count; ++key, values += columns) {
    to_floats<type>(tile.value[key], 0, head_dim, values);
    std::fill(values + head_dim, values + columns, 0.0f);
  }
}

/// c[m] += sum over k of a[m][k] * b[k * stride + column], for two vectors of columns. The order of additions does not depend on M.
template <int M>
HWY_INLINE void multiply(float const* const* a, std::size_t depth, float const* b, std::size_t stride, FloatVec (&c)[M][2]) {
  Floats const d;
  for (std::size_t k = 0; k < depth; ++k, b += stride) {
    FloatVec const b0 = hn::Load(d, b), b1 = hn::Load(d, b + lanes);
    HWY_UNROLL(8)
    for (int m = 0; m < M; ++m) {
      FloatVec const am = hn::Set(d, a[m][k]);
      c[m][0] = hn::MulAdd(am, b0, c[m][0]);
      c[m][1] = hn::MulAdd(am, b1, c[m][1]);
    }
  }
}

/// First half of a tile: queries times keys, then softmax.
struct Score {
  Work const& work;

  template <int M>
  HWY_INLINE void block(std::size_t first) const {
    Floats const d;
    float const* queries[M];
    for (int m = 0; m < M; ++m) queries[m] = work.query(first + m);
    for (std::size_t n = 0; n < static_cast<std::size_t>(work.tile.padded); n += 2 * lanes) {
      FloatVec c[M][2];
      HWY_UNROLL(8)
      for (int m = 0; m < M; ++m) c[m][0] = c[m][1] = hn::Zero(d);
      multiply<M>(queries, work.job.key_width, work.keys + n, tile_keys, c);
      HWY_UNROLL(8)
      for (int m = 0; m < M; ++m) {
        float* to = work.weights + (first + m) * tile_keys + n;
        hn::Store(c[m][0], d, to);
        hn::Store(c[m][1], d, to + lanes);
      }
    }
    for (std::size_t record = first; record < first + M; ++record) soften(work, record);
  }
};

/// Second half: weights times values.
struct Weigh {
  Work const& work;

  template <int M>
  HWY_INLINE void block(std::size_t first) const {
    Floats const d;
    std::size_t const columns = work.job.columns();
    float const* weights[M];
    for (int m = 0; m < M; ++m) weights[m] = work.weights + (first + m) * tile_keys;
    for (std::size_t column = 0; column < columns; column += 2 * lanes) {
      FloatVec c[M][2];
      HWY_UNROLL(8)
      for (int m = 0; m < M; ++m) {
        FloatVec const correction = hn::Set(d, work.corrections[first + m]);
        c[m][0] = hn::Mul(correction, hn::Load(d, work.result(first + m) + column));
        c[m][1] = hn::Mul(correction, hn::Load(d, work.result(first + m) + column + lanes));
      }
      multiply<M>(weights, static_cast<std::size_t>(work.tile.count), work.values + column, columns, c);
      HWY_UNROLL(8)
      for (int m = 0; m < M; ++m) {
        hn::Store(c[m][0], d, work.result(first + m) + column);
        hn::Store(c[m][1], d, work.result(first + m) + column + lanes);
      }
    }
  }
};

template <int M, class Pass>
HWY_INLINE std::size_t blocks_of(Pass const& pass, std::size_t first) {
  for (; first + M <= pass.work.records; first += M)
    if (pass.work.any_sees_tile(first, M)) pass.template block<M>(first);
  return first;
}

template <class Pass>
HWY_NOINLINE void all_blocks(Pass const& pass) {
  std::size_t first = 0;
  if constexpr (lanes == 16) first = blocks_of<8>(pass, first);   // AVX-512 has 32 registers
  first = blocks_of<4>(pass, first);
  first = blocks_of<2>(pass, first);
  blocks_of<1>(pass, first);
}

/// A tile for any number of records: keys and values become fp32 once, then it is two small matrix products.
template <DType type>
void do_tile_for_many(Work const& work) {
  convert_keys<type>(work.tile, work.job.key_width, work.keys);
  all_blocks(Score{work});
  convert_values<type>(work.tile, work.job.value_width, work.job.columns(), work.values);
  all_blocks(Weigh{work});
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#endif
