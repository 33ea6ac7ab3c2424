#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/coded_page.hpp"
#include "kernels/host/scratch.hpp"
#include "kernels/own_basis.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/host/encode_page.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/host/coded_map-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace pikv::kernels::host {
namespace HWY_NAMESPACE {

void load_vectors(DType type, std::byte const* from, std::size_t at, std::size_t count, float* vectors) {
  if (type == DType::f32) to_floats<DType::f32>(from, at, count, vectors);
  if (type == DType::bf16) to_floats<DType::bf16>(from, at, count, vectors);
  if (type == DType::f16) to_floats<DType::f16>(from, at, count, vectors);
}

/// to[t * stride + row] = rows[row] . vectors[t] (+ base[row]), for `count` rows and `tokens` vectors of `depth` numbers.
void multiply_rows(float const* rows, std::size_t count, std::size_t depth, float const* vectors, std::size_t vector_stride, std::size_t tokens,
                   float const* base, float* to, std::size_t stride) {
  Floats const d;
  for (std::size_t t = 0; t < tokens; t += 4) {
    std::size_t const n = std::min<std::size_t>(4, tokens - t);
    float const* x[4];
    for (std::size_t k = 0; k < 4; ++k) x[k] = vectors + (t + std::min(k, n - 1)) * vector_stride;
    for (std::size_t row = 0; row < count; ++row) {
      float const* const matrix = rows + row * depth;
      FloatVec sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
      std::size_t i = 0;
      for (; i + lanes <= depth; i += lanes) {
        FloatVec const m = hn::LoadU(d, matrix + i);
        for (int k = 0; k < 4; ++k) sum[k] = hn::MulAdd(m, hn::LoadU(d, x[k] + i), sum[k]);
      }
      float dots[4];
      store_sums(sum[0], sum[1], sum[2], sum[3], dots);
      for (std::size_t k = 0; k < n; ++k) {
        for (std::size_t rest = i; rest < depth; ++rest) dots[k] += matrix[rest] * x[k][rest];
        to[(t + k) * stride + row] = dots[k] + (base ? base[row] : 0);
      }
    }
  }
}

/// The same by `columns` [depth][count], the transpose of `rows`, whose vectors are added up: no sums over lanes. count: a multiple of 8.
void multiply_columns(float const* columns, std::size_t count, std::size_t depth, float const* vectors, std::size_t vector_stride, std::size_t tokens,
                      float const* base, float* to, std::size_t stride) {
  for (std::size_t t = 0; t < tokens; t += 4) {
    std::size_t const n = std::min<std::size_t>(4, tokens - t);
    float const* x[4];
    for (std::size_t k = 0; k < 4; ++k) x[k] = vectors + (t + std::min(k, n - 1)) * vector_stride;
    by_vectors(count, [&](auto d, std::size_t row) HWY_ATTR {
      auto const none = hn::Zero(d);
      hn::Vec<decltype(d)> sum[4] = {none, none, none, none};
      float const* column = columns + row;
      for (std::size_t i = 0; i < depth; ++i, column += count) {
        auto const c = hn::LoadU(d, column);
        for (int k = 0; k < 4; ++k) sum[k] = hn::MulAdd(hn::Set(d, x[k][i]), c, sum[k]);
      }
      auto const start = base ? hn::LoadU(d, base + row) : none;
      for (std::size_t k = 0; k < n; ++k) hn::StoreU(hn::Add(sum[k], start), d, to + (t + k) * stride + row);
    });
  }
}

/// Ends of the groups: of keys [blocks][width] by number, of values [groups][tokens] by token.
void find_ends(Part part, float const* numbers, std::size_t tokens, std::size_t width, float* lo, float* hi) {
  if (part == Part::keys) {
    std::size_t const block = std::min<std::size_t>(tokens, 32);
    for (std::size_t first = 0; first < tokens; first += block, lo += width, hi += width)
      by_vectors(width, [&](auto d, std::size_t i) HWY_ATTR {
        auto low = hn::LoadU(d, numbers + first * width + i), high = low;
        for (std::size_t t = first + 1; t < first + block; ++t) {
          auto const x = hn::LoadU(d, numbers + t * width + i);
          low = hn::Min(low, x);
          high = hn::Max(high, x);
        }
        hn::StoreU(low, d, lo + i);
        hn::StoreU(high, d, hi + i);
      });
    return;
  }
  Eight const d;
  for (std::size_t begin = 0; begin < width; begin += 32, lo += tokens, hi += tokens)
    for (std::size_t t = 0; t < tokens; ++t) {
      float const* const x = numbers + t * width + begin;
      auto low = hn::LoadU(d, x), high = low;
      for (std::size_t i = 0; i < std::min<std::size_t>(32, width - begin); i += hn::MaxLanes(d)) {
        low = hn::Min(low, hn::LoadU(d, x + i));
        high = hn::Max(high, hn::LoadU(d, x + i));
      }
      lo[t] = hn::GetLane(hn::MinOfLanes(d, low));
      hi[t] = hn::GetLane(hn::MaxOfLanes(d, high));
    }
}

template <class D, class V>
HWY_INLINE V codes_of(D d, V x, V lo, V step, V top) {
  V const divisor = hn::IfThenElse(hn::Eq(step, hn::Zero(d)), hn::Set(d, 1.0f), step);
  V const code = hn::Min(hn::Max(hn::Round(hn::Div(hn::Sub(x, lo), divisor)), hn::Zero(d)), top);
  return hn::IfThenZeroElse(hn::Eq(step, hn::Zero(d)), code);
}

/// One vector of numbers to codes, and to what these stand for.
template <class D, class V>
HWY_INLINE void quantise(D d, V lo, V step, V top, float* numbers, std::int32_t* codes) {
  V const code = codes_of(d, hn::LoadU(d, numbers), lo, step, top);
  hn::StoreU(hn::MulAdd(step, code, lo), d, numbers);
  hn::StoreU(hn::ConvertTo(hn::RebindToSigned<D>(), code), hn::RebindToSigned<D>(), codes);
}

/// Adds what LinearMap's feedback has for them to `numbers` [tokens][width] of one group, whose lower ends and steps are [width]. columns [width][tokens].
/// Strips of eight numbers: within one, number by number; numbers after it take all eight errors at once.
void feed_back(float const* feedback, std::size_t rank, float const* lo, float const* step, float const* top, std::size_t tokens, std::size_t width,
               float* numbers, float* columns) {
  constexpr std::size_t strip = 8;
  HWY_ALIGN float errors[strip][32];
  for (std::size_t i = 0; i < rank; ++i)
    for (std::size_t t = 0; t < tokens; ++t) columns[i * tokens + t] = numbers[t * width + i];
  for (std::size_t begin = 0; begin < rank; begin += strip) {
    float const* const rows = feedback + begin * rank;
    for (std::size_t i = begin; i < begin + strip; ++i)
      by_vectors(tokens, [&](auto d, std::size_t t) HWY_ATTR {
        auto x = hn::LoadU(d, columns + i * tokens + t);
        for (std::size_t k = 0; k < i - begin; ++k) x = hn::MulAdd(hn::Set(d, rows[k * rank + i]), hn::Load(d, errors[k] + t), x);
        hn::StoreU(x, d, columns + i * tokens + t);
        auto const low = hn::Set(d, lo[i]), size = hn::Set(d, step[i]);
        hn::Store(hn::Sub(x, hn::MulAdd(size, codes_of(d, x, low, size, hn::Set(d, top[i])), low)), d, errors[i - begin] + t);
      });
    for (std::size_t j = begin + strip; j < rank; ++j)
      by_vectors(tokens, [&](auto d, std::size_t t) HWY_ATTR {
        auto x = hn::LoadU(d, columns + j * tokens + t);
        HWY_UNROLL(8)
        for (std::size_t k = 0; k < strip; ++k) x = hn::MulAdd(hn::Set(d, rows[k * rank + j]), hn::Load(d, errors[k] + t), x);
        hn::StoreU(x, d, columns + j * tokens + t);
      });
  }
  for (std::size_t i = 0; i < rank; ++i)
    for (std::size_t t = 0; t < tokens; ++t) numbers[t * width + i] = columns[i * tokens + t];
}

/// `numbers` [tokens][width] become codes, in their places in the page, and what these stand for. floats: 4 * tokens * width. feedback: or null.
void store_integers(CodedHead const& head, Element element, Part part, std::size_t tokens, float const* feedback, float* numbers, float* floats, std::byte* page) {
  std::size_t const width = head.width, block = std::min<std::size_t>(tokens, 32);
  std::size_t const groups = part == Part::keys ? tokens / block * width : (width + 31) / 32 * tokens;
  auto const bits = [&](std::size_t number) { return element == Element::mixed ? head.strips[number / strip_numbers].bits : code_bits(element); };
  float *const lo = floats, *const step = lo + tokens * width;
  float* const top = step + tokens * width;   // of each number
  auto* const codes = reinterpret_cast<std::int32_t*>(top + width);
  for (std::size_t i = 0; i < width; ++i) top[i] = static_cast<float>(top_code(bits(i)));
  find_ends(part, numbers, tokens, width, lo, step);
  auto const top_of_group = [&](std::size_t g) { return top_code(bits(part == Part::keys ? g % width : g / tokens * 32)); };
  if (element == Element::mixed) {
    for (std::size_t g = 0; g < groups; ++g) {
      ZeroStep const pair = zero_step(lo[g], step[g], top_of_group(g));
      page[head.scales + g] = static_cast<std::byte>(pair.zero);
      page[head.scales + groups + g] = static_cast<std::byte>(pair.step);
      step[g] = from_step(pair.step);
      lo[g] = static_cast<float>(pair.zero) * step[g];
    }
  } else {
    auto* const scales = reinterpret_cast<std::uint16_t*>(page + head.scales);
    for (std::size_t g = 0; g < groups; ++g) {
      LoStep const pair = lo_step(lo[g], step[g], top_of_group(g));
      scales[g] = pair.lo;
      scales[groups + g] = pair.step;
    }
    by_vectors(groups / 8 * 8, [&](auto d, std::size_t g) HWY_ATTR {
      hn::StoreU(load_half(d, scales + g), d, lo + g);
      hn::StoreU(load_half(d, scales + groups + g), d, step + g);
    });
  }
  for (std::size_t g = 0; feedback && g < groups; g += width)
    feed_back(feedback, static_cast<std::size_t>(head.rank), lo + g, step + g, top, block, width, numbers + g * block, reinterpret_cast<float*>(codes));
  for (std::size_t t = 0; t < tokens; ++t)
    by_vectors(width, [&](auto d, std::size_t i) HWY_ATTR {
      float* const x = numbers + t * width + i;
      if (part == Part::keys) {
        std::size_t const g = t / block * width + i;
        quantise(d, hn::LoadU(d, lo + g), hn::LoadU(d, step + g), hn::LoadU(d, top + i), x, codes + t * width + i);
      } else {
        std::size_t const g = i / 32 * tokens + t;
        quantise(d, hn::Set(d, lo[g]), hn::Set(d, step[g]), hn::LoadU(d, top + i), x, codes + t * width + i);
      }
    });
  std::size_t const along = part == Part::keys ? width : tokens, across = part == Part::keys ? tokens : width;
  std::size_t const next = part == Part::keys ? 1 : width, lane = part == Part::keys ? width : 1;   // from number to number, from lane to lane
  if (element != Element::int8 && element != Element::int4) {   // words of as many bytes as a code has bits
    std::byte* to = page + head.codes;
    for (std::size_t i = 0; i < along; i += 8)
      for (std::size_t l = 0; l < across; ++l) {
        int const wide = bits(part == Part::keys ? i : l);
        std::uint32_t word = 0;
        for (int k = 0; k < 8; ++k) {
          int const bit = wide == 4 ? k % 4 * 8 + k / 4 * 4 : wide * k;
          word |= static_cast<std::uint32_t>(codes[(i + static_cast<std::size_t>(k)) * next + l * lane]) << bit;
        }
        for (int byte = 0; byte < wide; ++byte) *to++ = static_cast<std::byte>(word >> 8 * byte);
      }
    return;
  }
  auto const quad = [&](std::size_t at) {
    auto const code = [&](std::size_t k) { return static_cast<std::uint32_t>(codes[at + k * next]); };
    return code(0) | code(1) << 8 | code(2) << 16 | code(3) << 24;
  };
  auto* to = reinterpret_cast<std::uint32_t*>(page + head.codes);
  for (std::size_t i = 0; i < along; i += element == Element::int8 ? 4 : 8)
    for (std::size_t l = 0; l < across; ++l) {
      std::size_t const at = i * next + l * lane;
      *to++ = element == Element::int8 ? quad(at) : quad(at) | quad(at + 4 * next) << 4;
    }
}

void store_bf16(CodedHead const& head, Part part, std::size_t tokens, float* numbers, std::byte* page) {
  std::size_t const width = head.width, count = tokens * width;
  for (std::size_t i = 0; i < count; ++i) numbers[i] = from_bf16(to_bf16(numbers[i]));
  auto* to = reinterpret_cast<std::uint32_t*>(page + head.codes);
  auto const bits = [&](std::size_t at) { return std::bit_cast<std::uint32_t>(numbers[at]); };
  if (part == Part::keys) {
    for (std::size_t i = 0; i < width; i += 2)
      for (std::size_t t = 0; t < tokens; ++t) *to++ = bits(t * width + i) >> 16 | bits(t * width + i + 1);
    return;
  }
  for (std::size_t t = 0; t < tokens; t += 2)
    for (std::size_t i = 0; i < width; ++i) *to++ = bits(t * width + i) >> 16 | (t + 1 < tokens ? bits((t + 1) * width + i) : 0);
}

float largest_distance(float const* a, float const* b, std::size_t b_stride, std::size_t tokens, std::size_t d) {
  Floats const lane;
  float most = 0;
  for (std::size_t t = 0; t < tokens; ++t) {
    FloatVec sum = hn::Zero(lane);
    std::size_t i = 0;
    for (; i + lanes <= d; i += lanes) {
      FloatVec const off = hn::Sub(hn::LoadU(lane, a + t * d + i), hn::LoadU(lane, b + t * b_stride + i));
      sum = hn::MulAdd(off, off, sum);
    }
    float squared = hn::GetLane(hn::SumOfLanes(lane, sum));
    for (; i < d; ++i) squared += (a[t * d + i] - b[t * b_stride + i]) * (a[t * d + i] - b[t * b_stride + i]);
    most = std::max(most, squared);
  }
  return error_from(most);
}

/// vectors [tokens][head_dim] of one KV head into the page; returns at least the largest distance of one from what is stored for it. floats: 8 * tokens *
/// (head_dim + 8).
float encode_vectors(CodedLayout const& layout, Part part, std::int32_t kv_head, float const* vectors, float* floats, std::byte* page) {
  CodedPart const coded{layout, part, kv_head};
  CodedHead const& head = coded.head();
  std::size_t const tokens = layout.page_tokens, d = layout.head_dim, width = head.width, rank = head.rank;
  LinearMap const* const maps = part == Part::keys ? layout.k_map : layout.v_map;
  LinearMap const map = maps && head.basis == 0 ? maps[kv_head] : LinearMap{};
  float *const numbers = floats, *const work = numbers + tokens * (d + 8);
  OwnBasis own;
  if (head.basis != 0) {
    std::int32_t const n = layout.page_tokens;
    store_own_basis(vectors, n, layout.head_dim, head.rank, page + head.basis);
    own = load_own_basis(page + head.basis, layout.head_dim, head.rank);
    coordinates(own, vectors, n, layout.head_dim, head.rank, head.width, numbers);
  } else if (map.identity()) {
    for (std::size_t t = 0; t < tokens; ++t) {
      std::copy_n(vectors + t * d, d, numbers + t * width);
      std::fill_n(numbers + t * width + d, width - d, 0.0f);
    }
  } else {
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t i = 0; i < d; ++i) work[t * d + i] = vectors[t * d + i] - map.mean[i];
    if (map.orthonormal)
      multiply_columns(map.decode, rank, d, work, d, tokens, nullptr, numbers, width);
    else
      multiply_rows(map.encode, rank, d, work, d, tokens, nullptr, numbers, width);
    for (std::size_t t = 0; t < tokens; ++t) std::fill_n(numbers + t * width + rank, width - rank, 0.0f);
  }
  bool const all_kept = map.orthonormal && rank == d;   // then numbers are as far from what is stored as vectors are
  float* const were = work + 5 * tokens * (d + 8);
  if (all_kept) std::copy_n(numbers, tokens * width, were);
  if (has_steps(coded.element())) {
    store_integers(head, coded.element(), part, tokens, part == Part::keys ? map.feedback : nullptr, numbers, work, page);
  } else if (coded.element() == Element::bf16) {
    store_bf16(head, part, tokens, numbers, page);
  } else {
    coded.store(numbers, page);
    coded.load(page, numbers);
  }
  float const* const decode = head.basis != 0 ? own.decode.data() : map.decode;
  if (!decode) return largest_distance(vectors, numbers, width, tokens, d);
  float const rounding = static_cast<float>(d) * 0x1p-24f;   // of the sums of d products that map and rebuild a vector, as a share of it
  if (all_kept) {
    std::fill_n(work, d, 0.0f);
    return largest_distance(were, numbers, width, tokens, d) + rounding * largest_distance(were, work, 0, tokens, d);
  }
  if (map.orthonormal && d % 8 == 0)
    multiply_columns(map.encode, d, rank, numbers, width, tokens, map.mean, work, d);
  else
    multiply_rows(decode, d, rank, numbers, width, tokens, head.basis != 0 ? own.mean.data() : map.mean, work, d);
  std::fill_n(numbers, d, 0.0f);
  return largest_distance(vectors, work, d, tokens, d) + rounding * largest_distance(work, numbers, 0, tokens, d);
}

}  // namespace HWY_NAMESPACE
}  // namespace pikv::kernels::host
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pikv::kernels::host {

HWY_EXPORT(load_vectors);
HWY_EXPORT(encode_vectors);

void encode_page(PoolView const& from, std::int32_t slot, CodedLayout const& layout, std::byte* to) {
  thread_local Scratch<float> scratch;
  std::size_t const scalars = from.layout.head_scalars(), tokens = layout.page_tokens;
  float* const vectors = scratch.at_least(scalars + 16 + 8 * tokens * (static_cast<std::size_t>(layout.head_dim) + 8));
  std::fill_n(to, layout.bytes, std::byte{0});
  auto* errors = reinterpret_cast<float*>(to);
  for (Part part : {Part::keys, Part::values})
    for (std::int32_t head = 0; head < layout.kv_heads; ++head) {
      std::byte const* const half = part == Part::keys ? from.keys(slot) : from.values(slot);
      HWY_DYNAMIC_DISPATCH(load_vectors)(from.layout.dtype, half, head * scalars, scalars, vectors);
      *errors++ = HWY_DYNAMIC_DISPATCH(encode_vectors)(layout, part, head, vectors, vectors + (scalars + 15) / 16 * 16, to);
    }
}

void decode_page(CodedLayout const& layout, std::byte const* from, PoolView const& to, std::int32_t slot) {
  reference::decode_page(layout, from, to, slot);
}

}  // namespace pikv::kernels::host
#endif
