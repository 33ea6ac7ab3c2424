#include <cuda_fp8.h>

#include <algorithm>
#include <dynamic_shared.cuh>
#include <type_traits>

#include "kernels/cuda/coded.cuh"
#include "kernels/cuda/coded.hpp"
#include "kernels/cuda/launch.cuh"

namespace pikv::kernels::cuda {
namespace {

constexpr int warp = 32, warps = 8, threads = warp * warps, tokens_at_once = 32;
constexpr unsigned all_lanes = 0xFFFFFFFFu;

struct Job {
  PoolView plain;
  CodedLayout layout;
  std::byte* base;
  std::size_t slot_bytes;
  SlotPairs slots;
  float* numbers;               // of encode_part: [pages][parts][kv_heads][numbers_of_part]
  std::size_t numbers_of_part;
};

__device__ float load(DType type, std::byte const* from, std::size_t at) {
  if (type == DType::f32) return reinterpret_cast<float const*>(from)[at];
  if (type == DType::bf16) return from_bf16(reinterpret_cast<std::uint16_t const*>(from)[at]);
  return __half2float(reinterpret_cast<__half const*>(from)[at]);
}

__device__ void store(DType type, std::byte* to, std::size_t at, float x) {
  if (type == DType::f32) reinterpret_cast<float*>(to)[at] = x;
  if (type == DType::bf16) reinterpret_cast<std::uint16_t*>(to)[at] = to_bf16(x);
  if (type == DType::f16) reinterpret_cast<__half*>(to)[at] = __float2half_rn(x);
}

__device__ std::size_t end_of_codes(CodedColumn const& column) {
  std::size_t end = 0;
  with_codes(column.element, [&](auto codes) {
    using Codes = decltype(codes);
    end = column.head.codes + column.template code_bytes<Codes>();
  });
  return end;
}

/// What no number fills before the codes of a part, and after the last: zeros. Scales are written later.
__device__ void clear_gaps(CodedLayout const& layout, CodedColumn const& column, int kv_head, std::byte* page) {
  bool const keys = column.part == Part::keys;
  std::size_t begin = 2 * sizeof(float) * static_cast<std::size_t>(layout.kv_heads);
  if (!keys) begin = end_of_codes({layout, Part::keys, kv_head});
  if (keys && kv_head > 0) begin = end_of_codes({layout, Part::values, kv_head - 1});
  for (std::size_t at = begin + threadIdx.x; at < column.head.codes; at += threads) page[at] = std::byte{0};
  if (keys || kv_head + 1 < layout.kv_heads) return;
  for (std::size_t at = end_of_codes(column) + threadIdx.x; at < layout.bytes; at += threads) page[at] = std::byte{0};
}

/// The host's lo_step.
__device__ void store_lo_step(float lo, float hi, float top, __half* lo_at, __half* step_at) {
  constexpr float most = 65504;
  lo = fminf(fmaxf(lo, -most), most);
  hi = fminf(fmaxf(hi, -most), most);
  auto const value = [](unsigned bits) { return __half2float(__ushort_as_half(static_cast<unsigned short>(bits))); };
  unsigned low = __half_as_ushort(__float2half_rn(lo)), step = 0;
  if (value(low) > lo) low = low == 0 ? 0x8001u : low & 0x8000u ? low + 1 : low - 1;
  float const stored = value(low);
  if (stored < hi) {
    step = __half_as_ushort(__float2half_rn((hi - stored) / top));
    while (step > 0 && fmaf(value(step - 1), top, stored) >= hi) --step;
    while (fmaf(value(step), top, stored) < hi) ++step;
  }
  *lo_at = __ushort_as_half(static_cast<unsigned short>(low));
  *step_at = __ushort_as_half(static_cast<unsigned short>(step));
}

/// The host's zero_step.
__device__ void store_zero_step(float lo, float hi, float top, signed char* zero_at, unsigned char* step_at) {
  constexpr float least_zero = -128, most_zero = 127;
  float zero = 0;
  unsigned step = 0;
  if (!(lo <= hi)) {   // not a number
    step = most_step;
  } else if (lo != 0 || hi != 0) {
    float const least = fmaxf((hi - lo) / top, fmaxf(lo / least_zero, hi / (most_zero + top)));
    step = min(max(static_cast<unsigned>(__half_as_ushort(__float2half_rn(fminf(least, 60000.0f)))) >> 7, 1u), static_cast<unsigned>(most_step));
    for (;; ++step) {
      float const size = CodedColumn::from_step(step);
      zero = fminf(fmaxf(floorf(lo / size), least_zero), most_zero);
      if (zero * size > lo && zero > least_zero) --zero;
      if ((zero * size <= lo && (zero + top) * size >= hi) || step == most_step) break;
    }
  }
  *zero_at = static_cast<signed char>(zero);
  *step_at = static_cast<unsigned char>(step);
}

__device__ float code_of(float x, int bits, float lo, float step) {
  return step == 0 ? 0 : fminf(fmaxf(rintf((x - lo) / step), 0.0f), static_cast<float>(top_code(bits)));
}

/// A number as entry `at` of a word, the rest of it 0. `bits` and `step`: of integers; else what numbers are multiples of.
template <class Codes>
__device__ typename Codes::Word entry_of(float x, int at, int bits, float lo, float step) {
  if constexpr (Codes::steps) {
    unsigned const placed = static_cast<unsigned>(code_of(x, bits, lo, step)) << Codes::shift(bits, at);
    if constexpr (std::is_same_v<Codes, CodesMixed>)
      return {placed, bits};
    else
      return static_cast<typename Codes::Word>(placed);
  } else if constexpr (std::is_same_v<Codes, CodesBf16>) {
    return static_cast<unsigned>(to_bf16(x)) << 16 * at;
  } else if constexpr (std::is_same_v<Codes, CodesF16>) {
    return __float2half_rn(fminf(fmaxf(x, -65504.0f), 65504.0f));
  } else if constexpr (std::is_same_v<Codes, CodesFp8>) {
    return step > 0 ? __nv_cvt_float_to_fp8(x / step, __NV_SATFINITE, __NV_E4M3) : static_cast<unsigned char>(0);
  } else {
    return x;
  }
}

/// The largest over the block; all threads.
__device__ float largest(float x) {
  __shared__ float of_warp[warps];
  for (int step = 1; step < warp; step *= 2) x = fmaxf(x, __shfl_xor_sync(all_lanes, x, step));
  if (threadIdx.x % warp == 0) of_warp[threadIdx.x / warp] = x;
  __syncthreads();   // every warp's is there
  for (float other : of_warp) x = fmaxf(x, other);
  __syncthreads();   // the next call uses the same memory
  return x;
}

/// What LinearMap's feedback adds to the numbers of a part before they are rounded: a warp to a token, number after number.
__device__ void feed_back(CodedColumn const& column, int tokens, std::byte const* page, float* numbers) {
  int const lane = static_cast<int>(threadIdx.x) % warp, width = column.head.width, rank = column.head.rank;
  with_codes(column.element, [&](auto codes) {
    using Codes = decltype(codes);
    if constexpr (Codes::steps) {   // nvcc 13.0 loses count of the braces without these
      for (int token = static_cast<int>(threadIdx.x) / warp; token < tokens; token += warps)
        for (int i = 0; i < rank; ++i) {
          float* const of_token = numbers + token * width;
          int const group = column.group(token, i);
          float const x = of_token[i], lo = column.template lower_end<Codes>(page, group), step = column.template step<Codes>(page, group);
          float const error = x - fmaf(step, code_of(x, column.bits(i), lo, step), lo);
          for (int j = i + 1 + lane; j < rank; j += warp) of_token[j] = fmaf(column.map.feedback[static_cast<std::size_t>(i) * rank + j], error, of_token[j]);
          __syncwarp();   // the next number is complete
        }
    }
  });
}

/// One block per (page, KV head, keys or values): the numbers to memory of their own, the scales, the codes a word a thread, the error of each token.
/// Bytes: a page's read twice, its codes written, 4 bytes per number written and read twice more, mostly in the cache. Multiply-adds: 2 rank
/// head_dim per token with a linear map (and rank^2 / 2 with feedback), else about ten instructions per number. Limit: memory bandwidth; with a map loads from the cache.
__global__ void __launch_bounds__(threads) encode_part(Job job) {
  CodedLayout const& layout = job.layout;
  int const thread = static_cast<int>(threadIdx.x), lane = thread % warp, kv_head = static_cast<int>(blockIdx.y), d = layout.head_dim;
  Part const part = blockIdx.z == 0 ? Part::keys : Part::values;
  CodedColumn const column{layout, part, kv_head};
  int const tokens = layout.page_tokens, width = column.head.width, rank = column.head.rank, count = tokens * width;
  std::int32_t const from = job.slots.from[blockIdx.x];
  std::byte const* const plain = part == Part::keys ? job.plain.keys(from) : job.plain.values(from);
  std::size_t const first = static_cast<std::size_t>(kv_head) * job.plain.layout.head_scalars();
  std::byte* const page = job.base + static_cast<std::size_t>(job.slots.to[blockIdx.x]) * job.slot_bytes;
  float* const numbers = job.numbers + ((blockIdx.x * std::size_t{2} + blockIdx.z) * layout.kv_heads + blockIdx.y) * job.numbers_of_part;
  auto const vector = [&](int token, int i) { return load(job.plain.layout.dtype, plain, first + static_cast<std::size_t>(token) * d + i); };

  for (int n = thread; n < count; n += threads) {
    int const token = n / width, j = n % width;
    float x = column.identity() && j < d ? vector(token, j) : 0;
    for (int i = 0; !column.identity() && i < d; ++i) x += column.map.encode[static_cast<std::size_t>(j) * d + i] * (vector(token, i) - column.map.mean[i]);
    numbers[n] = x;
  }
  clear_gaps(layout, column, kv_head, page);
  __syncthreads();   // the numbers are complete

  auto* const scales = page + column.head.scales;
  if (column.element == Element::fp8) {
    float most = 0;
    for (int n = thread; n < count; n += threads) most = fmaxf(most, fabsf(numbers[n]));
    most = largest(most);
    if (thread == 0) *reinterpret_cast<float*>(scales) = most / 448;
  }
  for (int group = thread; column.steps_stored() && group < column.groups(); group += threads) {
    bool const keys = part == Part::keys;   // of keys `block` tokens, of values up to 32 numbers
    int const begin = keys ? group / width * column.block * width + group % width : group % tokens * width + group / tokens * CodedColumn::value_group;
    int const members = keys ? column.block : min(CodedColumn::value_group, width - group / tokens * CodedColumn::value_group);
    float lo = INFINITY, hi = -INFINITY;
    for (int n = 0; n < members; ++n) {
      float const x = numbers[begin + n * (keys ? width : 1)];
      lo = fminf(lo, x);
      hi = fmaxf(hi, x);
    }
    auto const top = static_cast<float>(top_code(column.bits(keys ? group % width : group / tokens * CodedColumn::value_group)));
    if (column.element == Element::mixed) {
      store_zero_step(lo, hi, top, reinterpret_cast<signed char*>(scales) + group, reinterpret_cast<unsigned char*>(scales) + column.groups() + group);
      continue;
    }
    auto* const lower_ends = reinterpret_cast<__half*>(scales);
    store_lo_step(lo, hi, top, lower_ends + group, lower_ends + column.groups() + group);
  }
  __syncthreads();   // the scales are complete
  if (part == Part::keys && column.map.feedback) {
    feed_back(column, tokens, page, numbers);
    __syncthreads();   // the numbers are to be rounded
  }

  with_codes(column.element, [&](auto codes) {
    using Codes = decltype(codes);
    int const lanes = column.lanes(), length = column.along(tokens, width);
    for (int n = thread; n < column.template word_count<Codes>(); n += threads) {
      typename Codes::Word word{};
      for (int i = 0; i < Codes::per; ++i) {
        int const along = n / lanes * Codes::per + i, across = n % lanes;
        if (along >= length) break;
        int const token = part == Part::keys ? across : along, j = part == Part::keys ? along : across, group = column.group(token, j);
        float lo = 0, step = 0;
        if constexpr (Codes::steps) {
          lo = column.template lower_end<Codes>(page, group);
          step = column.template step<Codes>(page, group);
        } else {
          step = column.scale(page);
        }
        auto const entry = entry_of<Codes>(numbers[token * width + j], i, column.bits(j), lo, step);
        numbers[token * width + j] = Codes::steps ? fmaf(step, Codes::value(entry, i), lo) : Codes::value(entry, i) * step;
        if constexpr (Codes::per == 1)
          word = entry;
        else
          word |= entry;
      }
      column.template store_word<Codes>(page, n / lanes, n % lanes, word);
    }
  });
  __syncthreads();   // the numbers are what the codes stand for

  float most = 0, size = 0;
  for (int token = thread / warp; token < tokens; token += warps) {
    float squared = 0, size_squared = 0;
    for (int i = lane; i < d; i += warp) {
      float back = column.identity() ? numbers[token * width + i] : column.map.mean[i];
      for (int j = 0; !column.identity() && j < rank; ++j) back += column.map.decode[static_cast<std::size_t>(i) * rank + j] * numbers[token * width + j];
      float const off = vector(token, i) - back;
      squared += off * off;
      size_squared += back * back;
    }
    for (int step = 1; step < warp; step *= 2) {
      squared += __shfl_xor_sync(all_lanes, squared, step);
      size_squared += __shfl_xor_sync(all_lanes, size_squared, step);
    }
    most = fmaxf(most, squared);
    size = fmaxf(size, size_squared);
  }
  most = largest(most);
  size = largest(size);
  auto const error_from = [](float x) { return static_cast<float>(sqrt(static_cast<double>(x)) * 1.0001) + (x > 0 ? 1e-30f : 0.0f); };   // the host's
  float const rounding = column.identity() ? 0.0f : static_cast<float>(d) * 0x1p-24f;   // of the sums that map and rebuild a vector, as a share of it
  if (thread == 0) reinterpret_cast<float*>(page)[blockIdx.z * layout.kv_heads + blockIdx.y] = error_from(most) + rounding * error_from(size);
}

/// One block per (page, KV head, keys or values): 32 tokens at a time, their numbers in shared memory, a vector's numbers in neighbouring threads.
/// Bytes: the coded page read, the plain one written. Multiply-adds: rank head_dim per token with a map or an own basis, else a few instructions per
/// number. Limit: memory bandwidth; with a map loads from the cache and from shared memory.
__global__ void __launch_bounds__(threads) decode_part(Job job) {
  auto* const numbers = dynamic_shared<float>();   // [tokens_at_once][width + 1]: neighbouring tokens lie in different banks
  CodedLayout const& layout = job.layout;
  int const thread = static_cast<int>(threadIdx.x), kv_head = static_cast<int>(blockIdx.y), d = layout.head_dim;
  Part const part = blockIdx.z == 0 ? Part::keys : Part::values;
  CodedColumn const column{layout, part, kv_head};
  int const tokens = layout.page_tokens, width = column.head.width, rank = column.head.rank, stride = width + 1;
  std::byte const* const page = job.base + static_cast<std::size_t>(job.slots.from[blockIdx.x]) * job.slot_bytes;
  std::int32_t const to = job.slots.to[blockIdx.x];
  std::byte* const plain = part == Part::keys ? job.plain.keys(to) : job.plain.values(to);
  std::size_t const first = static_cast<std::size_t>(kv_head) * job.plain.layout.head_scalars();

  for (int first_token = 0; first_token < tokens; first_token += tokens_at_once) {
    int const here = min(tokens_at_once, tokens - first_token);
    with_codes(column.element, [&](auto codes) {
      for (int n = thread; n < here * width; n += threads) {   // in the order of the words
        int const token = part == Part::keys ? n % here : n / width, j = part == Part::keys ? n / here : n % width;
        float const own = !column.own_basis() ? 1.0f : j < rank ? column.own_scales(page, d)[j] : 0.0f;
        numbers[token * stride + j] = own * column.template load<decltype(codes)>(page, first_token + token, j);
      }
    });
    __syncthreads();   // the numbers are complete
    for (int n = thread; n < here * d; n += threads) {
      int const token = n / d, i = n % d;
      float const* const of_token = numbers + token * stride;
      float x = column.identity() ? of_token[i] : column.own_basis() ? column.own_mean(page)[i] : column.map.mean[i];
      for (int j = 0; column.own_basis() && j < rank; ++j) x += column.own_basis(page, d)[static_cast<std::size_t>(j) * d + i] * of_token[j];
      for (int j = 0; column.map.decode && j < rank; ++j) x += column.map.decode[static_cast<std::size_t>(i) * rank + j] * of_token[j];
      store(job.plain.layout.dtype, plain, first + static_cast<std::size_t>(first_token) * d + n, x);
    }
    __syncthreads();   // the next tokens use the same memory
  }
}

dim3 blocks_of(SlotPairs const& slots, CodedLayout const& layout) {
  return {static_cast<unsigned>(slots.count), static_cast<unsigned>(layout.kv_heads), 2};
}

}  // namespace

void encode_pages(PoolView const& from, DeviceCodedPool const& to, SlotPairs const& slots, Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (to.layout->has_own_basis())
    throw std::runtime_error("cuda::encode_pages finds no bases of pages' own; encode these pages with host::encode_page and copy them");
  if (slots.count == 0) return;
  CodedLayout const& layout = to.layout->view();
  std::size_t const of_part = static_cast<std::size_t>(layout.page_tokens) * static_cast<std::size_t>(std::max(to.layout->width(true), to.layout->width(false)));
  DeviceArray<float> const numbers{2 * static_cast<std::size_t>(slots.count) * static_cast<std::size_t>(layout.kv_heads) * of_part, stream};
  launch(encode_part, blocks_of(slots, layout), threads, 0, queue, "cuda::encode_pages",
         Job{from, layout, to.base, to.slot_bytes, slots, numbers.data(), of_part});
}

void decode_pages(DeviceCodedPool const& from, PoolView const& to, SlotPairs const& slots, Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (slots.count == 0) return;
  CodedLayout const& layout = from.layout->view();
  std::size_t const tokens = std::min(tokens_at_once, layout.page_tokens), width = std::max(from.layout->width(true), from.layout->width(false));
  launch(decode_part, blocks_of(slots, layout), threads, sizeof(float) * tokens * (width + 1), queue, "cuda::decode_pages",
         Job{to, layout, from.base, from.slot_bytes, slots, nullptr, 0});
}

}  // namespace pikv::kernels::cuda
