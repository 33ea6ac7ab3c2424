#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/coded_page.hpp"

namespace pikv::kernels::host {

inline constexpr std::int32_t unit_tokens = 32;   // at most
inline constexpr std::size_t unit_records = 4;    // at most
inline constexpr std::size_t batch_units = 4;     // whose keys are scored, softened and then weighed together
inline constexpr std::size_t batch_tokens = batch_units * unit_tokens;

constexpr int numbers_together(Element element) {
  return element == Element::int4 || element == Element::int3 || element == Element::int2 ? 8 : element == Element::int8 ? 4 : element == Element::bf16 ? 2 : 1;
}
/// Bytes of those numbers in one lane: a token of keys, a number of values.
constexpr std::size_t bytes_together(Element element) {
  return element == Element::fp8 ? 1 : element == Element::f16 || element == Element::int2 ? 2 : element == Element::int3 ? 3 : 4;
}

/// Keys or values of one KV head in min(p, 32) tokens of a coded page, those that share a group of keys. `first` is the first token; codes and scales
/// are the page's, but for keys whose scales are of this block: lo, step [width] of keys, [groups][page_tokens] of values.
struct CodedUnit {
  std::byte const* codes;
  std::uint16_t const *lo, *step;   // integers
  std::int8_t const* zero;          // mixed
  std::uint8_t const* byte_step;
  CodedStrip const* strips;
  float scale;                      // fp8
  std::int32_t page_tokens, first, tokens, width;
  std::byte const* ahead[2];   // codes of a later unit, to be fetched meanwhile: half as many lines as this unit has from each place
  std::ptrdiff_t fetch;        // from these scales to that unit's
};

CodedUnit unit_of(CodedLayout const& layout, Part part, std::int32_t kv_head, std::byte const* page, std::int32_t first);

/// Keys and values of a unit of `page` are to fetch those of the same unit of page `next`: half of both each.
void fetch_ahead(CodedLayout const& layout, std::int32_t kv_head, std::byte const* page, std::byte const* next, CodedUnit& keys, CodedUnit& values);

/// The kernels of integers of one instruction set. Up to four records and a batch of units; widths, up to most_width, and tokens are multiples
/// of 16.
///   prepare   queries [records][width] fp32 to what score() reads, `bytes` of it: once a run
///   score     dots [records][units][unit_tokens] = q . k, rows of batch_tokens
///   weigh     result [records][stride]: result = keep * result + add * sum of weight * value; weights <= 1 lie as the dots did
struct IntegerKernels {
  char const* name;
  std::int32_t most_width;
  std::size_t (*prepared_bytes)(std::int32_t width);
  void (*prepare)(float const* const* queries, std::size_t records, std::int32_t width, std::byte* prepared);
  void (*score)(Element element, CodedUnit const* keys, std::size_t units, std::byte const* prepared, std::size_t records, float* dots);
  void (*weigh)(Element element, CodedUnit const* values, std::size_t units, float const* weights, std::size_t records, float const* keep,
                float const* add, float* result, std::size_t stride);
};

/// Of this processor; null where the general kernels are all there is.
IntegerKernels const* integer_kernels();

}  // namespace pikv::kernels::host
