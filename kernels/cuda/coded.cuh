#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "kernels/coded_page.hpp"

namespace pikv::kernels::cuda {

// How numbers lie in the words of codes: number (or token) `along` of lane `across` of `lanes` is entry along % per of word along / per * lanes +
// across. The host's version is CodedPart.

struct CodesF32 {
  using Word = float;
  static constexpr int per = 1;
  static constexpr bool steps = false;
  __device__ static float value(float word, int) { return word; }
};
struct CodesBf16 {
  using Word = unsigned;
  static constexpr int per = 2;
  static constexpr bool steps = false;
  __device__ static float value(unsigned word, int at) { return __uint_as_float(at == 0 ? word << 16 : word & 0xFFFF0000u); }
};
struct CodesF16 {
  using Word = __half;
  static constexpr int per = 1;
  static constexpr bool steps = false;
  __device__ static float value(__half word, int) { return __half2float(word); }
};

/// 0 .. 255 as float, without the conversion unit.
__device__ inline float from_code(unsigned code) { return __uint_as_float(0x4B000000u | code) - 8388608.0f; }

struct CodesInt8 {
  using Word = unsigned;
  static constexpr int per = 4;
  static constexpr bool steps = true;
  static constexpr float top = 255;
  __device__ static int shift(int at) { return 8 * at; }
  __device__ static float value(unsigned word, int at) { return from_code(word >> shift(at) & 255u); }
};
struct CodesInt4 {
  using Word = unsigned;
  static constexpr int per = 8;
  static constexpr bool steps = true;
  static constexpr float top = 15;
  __device__ static int shift(int at) { return 8 * (at % 4) + 4 * (at / 4); }   // the first four in low halves
  __device__ static float value(unsigned word, int at) { return from_code(word >> shift(at) & 15u); }
};
/// 24 bits, at any byte.
struct Int3Word {
  unsigned char byte[3];
  Int3Word() = default;
  __device__ Int3Word(unsigned bits)
      : byte{static_cast<unsigned char>(bits), static_cast<unsigned char>(bits >> 8), static_cast<unsigned char>(bits >> 16)} {}
  __device__ Int3Word& operator|=(Int3Word other) { return *this = Int3Word(bits() | other.bits()); }
  __device__ unsigned bits() const { return byte[0] | static_cast<unsigned>(byte[1]) << 8 | static_cast<unsigned>(byte[2]) << 16; }
};
struct CodesInt3 {
  using Word = Int3Word;
  static constexpr int per = 8;
  static constexpr bool steps = true;
  static constexpr float top = 7;
  __device__ static int shift(int at) { return 3 * at; }
  __device__ static float value(Int3Word word, int at) { return from_code(word.bits() >> shift(at) & 7u); }
};
struct CodesFp8 {
  using Word = unsigned char;
  static constexpr int per = 1;
  static constexpr bool steps = false;
  __device__ static float value(unsigned char word, int) {   // e4m3 has half's layout, three bits shorter, and exponents 8 higher
    return __half2float(__ushort_as_half(static_cast<unsigned short>((word & 0x80u) << 8 | (word & 0x7Fu) << 7))) * 256;
  }
};

/// body(codes) with the codes of an element.
template <class Body>
__device__ void with_codes(Element element, Body const& body) {
  if (element == Element::f32) body(CodesF32{});
  if (element == Element::bf16) body(CodesBf16{});
  if (element == Element::f16) body(CodesF16{});
  if (element == Element::int8) body(CodesInt8{});
  if (element == Element::int4) body(CodesInt4{});
  if (element == Element::int3) body(CodesInt3{});
  if (element == Element::fp8) body(CodesFp8{});
}

/// One KV head's keys, or values, in the coded pages of a layout whose pointers are the device's.
struct CodedColumn {
  static constexpr int value_group = 32;

  Part part;
  Element element;
  int page_tokens, block;   // a group of keys is one number over `block` tokens
  CodedHead head;
  LinearMap map;

  __device__ CodedColumn(CodedLayout const& layout, Part of, int kv_head)
      : part{of},
        element{of == Part::keys ? layout.k_element : layout.v_element},
        page_tokens{layout.page_tokens},
        block{min(layout.page_tokens, 32)},
        head{(of == Part::keys ? layout.k : layout.v)[kv_head]} {
    LinearMap const* const maps = of == Part::keys ? layout.k_map : layout.v_map;
    if (maps && head.basis == 0) map = maps[kv_head];
  }

  __device__ bool own_basis() const { return head.basis != 0; }
  __device__ bool identity() const { return !own_basis() && map.identity(); }
  __device__ bool has_steps() const { return code_bits(element) > 0; }
  __device__ int groups() const {
    return part == Part::keys ? page_tokens / block * head.width : (head.width + value_group - 1) / value_group * page_tokens;
  }
  __device__ int group(int token, int number) const {
    return part == Part::keys ? token / block * head.width + number : number / value_group * page_tokens + token;
  }
  __device__ __half const* lower_ends(std::byte const* page) const { return reinterpret_cast<__half const*>(page + head.scales); }
  __device__ __half const* steps(std::byte const* page) const { return lower_ends(page) + groups(); }
  /// What numbers without steps are multiplied by.
  __device__ float scale(std::byte const* page) const {
    return element == Element::fp8 ? *reinterpret_cast<float const*>(page + head.scales) : 1.0f;
  }
  template <class Codes>
  __device__ typename Codes::Word const* words(std::byte const* page) const {
    return reinterpret_cast<typename Codes::Word const*>(page + head.codes);
  }

  /// Of the order of words: numbers of keys lie along, tokens across; of values the other way.
  __device__ int along(int token, int number) const { return part == Part::keys ? number : token; }
  __device__ int across(int token, int number) const { return part == Part::keys ? token : number; }
  __device__ int lanes() const { return part == Part::keys ? page_tokens : head.width; }
  template <class Codes>
  __device__ int word_count() const {
    return (along(page_tokens, head.width) + Codes::per - 1) / Codes::per * lanes();
  }
  /// What stands in the page for a number.
  template <class Codes>
  __device__ float load(std::byte const* page, int token, int number) const {
    int const at = along(token, number);
    float const x = Codes::value(words<Codes>(page)[at / Codes::per * lanes() + across(token, number)], at % Codes::per);
    if (!Codes::steps) return x * scale(page);
    return fmaf(__half2float(steps(page)[group(token, number)]), x, __half2float(lower_ends(page)[group(token, number)]));
  }

  // Of a page's own basis: decode (i, j) is own_scales[j] * own_basis[j * head_dim + i].
  __device__ float const* own_mean(std::byte const* page) const { return reinterpret_cast<float const*>(page + head.basis); }
  __device__ float const* own_scales(std::byte const* page, int d) const { return own_mean(page) + d; }
  __device__ signed char const* own_basis(std::byte const* page, int d) const {
    return reinterpret_cast<signed char const*>(own_scales(page, d) + head.rank);
  }
};

}  // namespace pikv::kernels::cuda
