#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <type_traits>

#include "kernels/coded_page.hpp"

namespace pikv::kernels::cuda {

// How numbers lie in the words of codes: number (or token) `along` of lane `across` of `lanes` is entry along % per of word along / per * lanes +
// across; CodedColumn::mixed_word says where mixed ones lie. shift(bits, at): where in its word an entry of so many bits begins. The host's version is
// CodedPart.

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
  __device__ static int shift(int, int at) { return 8 * at; }
  __device__ static float value(unsigned word, int at) { return from_code(word >> 8 * at & 255u); }
};
struct CodesInt4 {
  using Word = unsigned;
  static constexpr int per = 8;
  static constexpr bool steps = true;
  __device__ static int shift(int, int at) { return 8 * (at % 4) + 4 * (at / 4); }   // the first four in low halves
  __device__ static float value(unsigned word, int at) { return from_code(word >> shift(4, at) & 15u); }
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
  __device__ static int shift(int, int at) { return 3 * at; }
  __device__ static float value(Int3Word word, int at) { return from_code(word.bits() >> 3 * at & 7u); }
};
struct CodesInt2 {
  using Word = unsigned short;
  static constexpr int per = 8;
  static constexpr bool steps = true;
  __device__ static int shift(int, int at) { return 2 * at; }
  __device__ static float value(unsigned short word, int at) { return from_code(word >> 2 * at & 3u); }
};
/// As many bytes as a code has bits; in memory they lie one after the other, with nothing between.
struct MixedWord {
  unsigned bits = 0;
  int width = 0;
  __device__ MixedWord& operator|=(MixedWord other) { return *this = {bits | other.bits, other.width}; }
};
struct CodesMixed {
  using Word = MixedWord;
  static constexpr int per = 8;
  static constexpr bool steps = true;
  __device__ static int shift(int width, int at) { return width == 4 ? CodesInt4::shift(width, at) : width * at; }
  __device__ static float value(MixedWord word, int at) { return from_code(word.bits >> shift(word.width, at) & ((1u << word.width) - 1)); }
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
  if (element == Element::int2) body(CodesInt2{});
  if (element == Element::mixed) body(CodesMixed{});
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
  __device__ bool steps_stored() const { return has_steps(element); }
  __device__ int bits(int number) const { return element == Element::mixed ? head.strips[number / strip_numbers].bits : code_bits(element); }
  __device__ int groups() const {
    return part == Part::keys ? page_tokens / block * head.width : (head.width + value_group - 1) / value_group * page_tokens;
  }
  __device__ int group(int token, int number) const {
    return part == Part::keys ? token / block * head.width + number : number / value_group * page_tokens + token;
  }
  __device__ __half const* lower_ends(std::byte const* page) const { return reinterpret_cast<__half const*>(page + head.scales); }
  __device__ __half const* steps(std::byte const* page) const { return lower_ends(page) + groups(); }
  __device__ signed char const* zeros(std::byte const* page) const { return reinterpret_cast<signed char const*>(page + head.scales); }
  __device__ unsigned char const* byte_steps(std::byte const* page) const { return reinterpret_cast<unsigned char const*>(zeros(page) + groups()); }
  __device__ static float from_step(unsigned step) { return __half2float(__ushort_as_half(static_cast<unsigned short>(step << 7))); }
  /// Of a group.
  template <class Codes>
  __device__ float step(std::byte const* page, int group) const {
    if constexpr (std::is_same_v<Codes, CodesMixed>)
      return from_step(byte_steps(page)[group]);
    else
      return __half2float(steps(page)[group]);
  }
  template <class Codes>
  __device__ float lower_end(std::byte const* page, int group) const {
    if constexpr (std::is_same_v<Codes, CodesMixed>)
      return static_cast<float>(zeros(page)[group]) * from_step(byte_steps(page)[group]);
    else
      return __half2float(lower_ends(page)[group]);
  }
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
  /// Bytes of the codes of 8 tokens, of mixed.
  __device__ int mixed_bytes() const {
    CodedStrip const last = head.strips[head.width / strip_numbers - 1];
    return strip_numbers * (last.before + last.bits);
  }
  /// Where the word of eight numbers (of values: tokens) from 8 * eight on begins, of one token (number).
  __device__ int mixed_place(int eight, int lane) const {
    if (part == Part::keys) return page_tokens * head.strips[eight].before + lane * head.strips[eight].bits;
    CodedStrip const strip = head.strips[lane / strip_numbers];
    return eight * mixed_bytes() + strip_numbers * strip.before + lane % strip_numbers * strip.bits;
  }
  __device__ int mixed_width(int eight, int lane) const { return head.strips[part == Part::keys ? eight : lane / strip_numbers].bits; }
  /// Word along / per of a lane.
  template <class Codes>
  __device__ typename Codes::Word word(std::byte const* page, int along, int lane) const {
    if constexpr (std::is_same_v<Codes, CodesMixed>) {
      MixedWord word{0, mixed_width(along, lane)};
      std::byte const* const at = page + head.codes + mixed_place(along, lane);
      for (int i = 0; i < word.width; ++i) word.bits |= static_cast<unsigned>(at[i]) << 8 * i;
      return word;
    } else {
      return words<Codes>(page)[static_cast<std::size_t>(along) * lanes() + lane];
    }
  }
  template <class Codes>
  __device__ void store_word(std::byte* page, int along, int lane, typename Codes::Word word) const {
    if constexpr (std::is_same_v<Codes, CodesMixed>) {
      std::byte* const at = page + head.codes + mixed_place(along, lane);
      for (int i = 0; i < word.width; ++i) at[i] = static_cast<std::byte>(word.bits >> 8 * i);
    } else {
      reinterpret_cast<typename Codes::Word*>(page + head.codes)[static_cast<std::size_t>(along) * lanes() + lane] = word;
    }
  }
  /// Bytes of all codes.
  template <class Codes>
  __device__ std::size_t code_bytes() const {
    if constexpr (std::is_same_v<Codes, CodesMixed>)
      return static_cast<std::size_t>(page_tokens) / strip_numbers * mixed_bytes();
    else
      return sizeof(typename Codes::Word) * static_cast<std::size_t>(word_count<Codes>());
  }
  template <class Codes>
  __device__ int word_count() const {
    return (along(page_tokens, head.width) + Codes::per - 1) / Codes::per * lanes();
  }
  /// What stands in the page for a number.
  template <class Codes>
  __device__ float load(std::byte const* page, int token, int number) const {
    int const at = along(token, number);
    float const x = Codes::value(word<Codes>(page, at / Codes::per, across(token, number)), at % Codes::per);
    if (!Codes::steps) return x * scale(page);
    return fmaf(step<Codes>(page, group(token, number)), x, lower_end<Codes>(page, group(token, number)));
  }

  // Of a page's own basis: decode (i, j) is own_scales[j] * own_basis[j * head_dim + i].
  __device__ float const* own_mean(std::byte const* page) const { return reinterpret_cast<float const*>(page + head.basis); }
  __device__ float const* own_scales(std::byte const* page, int d) const { return own_mean(page) + d; }
  __device__ signed char const* own_basis(std::byte const* page, int d) const {
    return reinterpret_cast<signed char const*>(own_scales(page, d) + head.rank);
  }
};

}  // namespace pikv::kernels::cuda
