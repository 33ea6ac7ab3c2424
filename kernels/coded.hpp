#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/attend.hpp"
#include "kernels/pool.hpp"

namespace pikv::kernels {

/// Type of the numbers of a coded page (methods 3.9).
///   f32, bf16, f16   as they are, or rounded to it
///   int8, int4, int3, int2   codes 0 .. 2^bits - 1 of a group with a lower end and a step: x = lo + step * code, |error| <= step / 2 of the stored pair, unless fed back (LinearMap)
///   mixed   the same with 2, 3 or 4 bits for each strip of 8 numbers, and lower end and step in a byte each: lo = zero * step
///   fp8              e4m3 times a scale per KV head and page, amax / 448; saturates
enum class Element : std::uint8_t { f32, bf16, f16, int8, int4, fp8, int3, int2, mixed };

/// Of the codes of a group; 0: they are no integers, or of several widths.
constexpr int code_bits(Element element) {
  return element == Element::int8 ? 8 : element == Element::int4 ? 4 : element == Element::int3 ? 3 : element == Element::int2 ? 2 : 0;
}
constexpr std::int32_t top_code(int bits) { return (1 << bits) - 1; }
constexpr bool has_steps(Element element) { return code_bits(element) > 0 || element == Element::mixed; }

/// Eight neighbouring numbers whose codes have the same bits: how many, and those of the strips before it.
struct CodedStrip {
  std::uint16_t bits = 0, before = 0;
};
inline constexpr std::int32_t strip_numbers = 8, least_strip_bits = 2, most_strip_bits = 4;

/// A linear map of one KV head's keys, or values (methods 3.0): a vector x of head_dim numbers is kept as c = encode (x - mean), `rank` numbers, and
/// stands for mean + decode c. Keys are used as they are kept: q.x ~ q.mean + (decode^T q).c; values are summed as they are kept and decoded once.
///   encode [rank][head_dim], decode [head_dim][rank], mean [head_dim], fp32; rank is a multiple of 8, at most head_dim rounded up to 8
/// Null pointers: the identity, rank = head_dim.
///   feedback [rank][rank], or null; looked at for keys stored as integers alone. Before number j of a token is rounded, feedback[i][j] times the error of each number
///   i < j is added to it, so that errors cancel in what queries see (GPTQ, arXiv 2210.17323; LDLQ of QuIP, arXiv 2307.13304). The ends of groups are
///   those of the numbers themselves. What is stored is read as ever.
struct LinearMap {
  std::int32_t rank = 0;
  float const* encode = nullptr;
  float const* decode = nullptr;
  float const* mean = nullptr;
  bool orthonormal = false;   // encode's rows are, and decode is its transpose, number by number: as of rotations, permutations, principal components
  float const* feedback = nullptr;
  constexpr bool identity() const { return decode == nullptr; }
};

/// Where the numbers of one KV head lie in a coded page, in bytes from its start. docs/page.md, layout 2, has the order inside.
struct CodedHead {
  std::int32_t rank = 0;       // numbers a token
  std::int32_t width = 0;      // with padding, which is 0: a multiple of 8
  std::uint32_t codes = 0;     // a multiple of 64
  std::uint32_t scales = 0;    // a multiple of 4; none for f32, bf16, f16
  std::uint32_t basis = 0;     // of a page's own map (block PCA): its mean and its basis; 0: none
  CodedStrip const* strips = nullptr;   // of mixed: [width / 8]
};

/// Layout 2: how keys and values of one page table lie in a page, for all its pages. [kv_heads] heads each. Trivially copyable: a view of a CodedShape.
struct CodedLayout {
  std::int32_t kv_heads = 0, page_tokens = 0, head_dim = 0;
  Element k_element = Element::bf16, v_element = Element::bf16;
  CodedHead const* k = nullptr;
  CodedHead const* v = nullptr;
  LinearMap const* k_map = nullptr;   // [kv_heads], or null: the identity, or the page's own
  LinearMap const* v_map = nullptr;
  std::size_t bytes = 0;              // of a page
};

/// How keys, or values, of a page table are to be stored.
struct PartSpec {
  Element element = Element::bf16;
  std::span<LinearMap const> maps;   // [kv_heads]; empty: the identity
  std::int32_t own_rank = 0;         // above 0: each page has its own basis of that rank, the principal components of its tokens (methods 3.4, block PCA)
  std::span<std::vector<std::uint8_t> const> bits;   // of mixed: [kv_heads][width / 8], of values the same within 32 numbers
};

/// Owns what a CodedLayout points to, but for the maps' matrices. Keys of a channel share a group over min(page_tokens, 32) tokens, values of a
/// token over 32 numbers (KIVI, arXiv 2402.02750); integers need page_tokens >= 8.
class CodedShape {
 public:
  CodedShape(PageLayout const& page, PartSpec const& k, PartSpec const& v);
  CodedShape(CodedShape const&) = delete;
  CodedLayout layout() const;

 private:
  CodedLayout layout_;
  std::vector<CodedHead> k_, v_;
  std::vector<std::vector<CodedStrip>> strips_;   // of heads that have them
  std::vector<LinearMap> k_maps_, v_maps_;   // as many as heads, or none
};

/// What a coded page says of itself, per KV head, at its start: floats [kv_heads] of keys, then [kv_heads] of values:
/// the largest Euclidean distance of a token's key (value) from what is stored for it, rounded up. A logit is wrong by at most |q| * k / sqrt(head_dim).
struct CodedErrors {
  std::span<float const> k, v;
};
CodedErrors coded_errors(CodedLayout const& layout, std::byte const* page);

struct CodedPool {
  std::byte* base = nullptr;
  std::size_t slot_bytes = 0;   // >= layout.bytes, a multiple of 64
  CodedLayout layout;
  std::byte* page(std::int32_t slot) const { return base + static_cast<std::size_t>(slot) * slot_bytes; }
};

/// encode_page: the full page in `slot` of `from`, uncompressed, into `to` (layout.bytes). The result does not depend on the number of threads.
/// decode_page: back, rounded to the page type of `to`.
/// attend_coded: as attend(), over coded pages: q [rows][q_heads][head_dim] and out.sum [rows][q_heads][head_dim] are of the model's space; queries are
/// mapped once a call, values once per row and head. Reads each page of each group once.
namespace reference {
void encode_page(PoolView const& from, std::int32_t slot, CodedLayout const& layout, std::byte* to);
void decode_page(CodedLayout const& layout, std::byte const* from, PoolView const& to, std::int32_t slot);
void attend_coded(CodedPool const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse);
}  // namespace reference
namespace host {
void encode_page(PoolView const& from, std::int32_t slot, CodedLayout const& layout, std::byte* to);
void decode_page(CodedLayout const& layout, std::byte const* from, PoolView const& to, std::int32_t slot);
void attend_coded(CodedPool const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse,
                  Stream& stream);
/// The instructions that attend on integers here: "VNNI", or what the rest runs with.
char const* coded_simd();
}  // namespace host

}  // namespace pikv::kernels
