#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/coded.hpp"

namespace pikv::kernels {

enum class Part : std::uint8_t { keys, values };

/// One KV head's keys, or values, of the coded pages of a layout: where each number lies (docs/page.md, layout 2) and what it stands for. Plain and
/// slow; the fast kernels know the same order by heart.
class CodedPart {
 public:
  CodedPart(CodedLayout const& layout, Part part, std::int32_t kv_head);

  CodedHead const& head() const { return head_; }
  Element element() const { return element_; }
  bool has_own_basis() const { return head_.basis != 0; }

  /// The same [page_tokens][width] numbers: in `page` from `numbers`, rounded; and back.
  void store(float const* numbers, std::byte* page) const;
  void load(std::byte const* page, float* numbers) const;
  float load(std::byte const* page, std::int32_t token, std::int32_t number) const;

  /// decode [head_dim][rank] and mean [head_dim] of the page, the identity left out: then both are empty.
  struct Decoder {
    std::vector<float> decode, mean;
    bool identity() const { return decode.empty(); }
  };
  Decoder decoder(std::byte const* page) const;

  /// vectors [page_tokens][head_dim] of `page` from their numbers [page_tokens][width].
  void rebuild(Decoder const& decoder, float const* numbers, float* vectors) const;

 private:
  std::size_t place(std::int32_t token, std::int32_t number) const;
  int bits(std::int32_t number) const;
  struct LowStep {
    float lo, step;
  };
  LowStep low_step(std::byte const* page, std::int32_t token, std::int32_t number) const;
  std::size_t group(std::int32_t token, std::int32_t number) const;
  std::size_t groups() const;
  void store_scales(float const* numbers, std::byte* page) const;

  std::int32_t page_tokens_, head_dim_;
  Part part_;
  Element element_;
  CodedHead head_;
  LinearMap const* map_;
};

/// Bytes of a head's parts in a page.
std::size_t code_bytes(Element element, Part part, std::int32_t page_tokens, CodedHead const& head);
std::size_t scale_bytes(Element element, Part part, std::int32_t page_tokens, std::int32_t width);
std::size_t basis_bytes(std::int32_t head_dim, std::int32_t rank);

/// The pair of a group with its ends: lo as fp16 rounded down, and the smallest fp16 step with lo + (2^bits - 1) step >= hi. Ends beyond fp16
/// saturate.
struct LoStep {
  std::uint16_t lo, step;
};
LoStep lo_step(float lo, float hi, std::int32_t top_code);

/// The same in two bytes, of mixed: step is the upper byte of a positive fp16 from its sign on, lo = zero * step; the smallest step with
/// zero * step <= lo and (zero + top code) * step >= hi, as far as those reach.
struct ZeroStep {
  std::int8_t zero;
  std::uint8_t step;
};
inline constexpr std::uint8_t most_step = 0xF7;
float from_step(std::uint8_t step);
ZeroStep zero_step(float lo, float hi, std::int32_t top_code);

/// e4m3: round to nearest, ties to even; beyond 448 saturates.
std::uint8_t to_e4m3(float x);
float from_e4m3(std::uint8_t code);

/// A squared distance's root for a page's errors: rounded up by more than what fp32 sums of head_dim numbers lose.
float error_from(double squared);

}  // namespace pikv::kernels
