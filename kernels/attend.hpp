#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/partial.hpp"
#include "kernels/pool.hpp"
#include "kernels/stream.hpp"

namespace pikv::kernels {

/// A share of a plan's work: some rows of one group over some of its pages. Its result goes to rows of out, or of the partials that are joined after.
struct AttendPart {
  std::int32_t row_begin, rows;
  std::int32_t page_begin, page_end;
  std::int32_t partial_row;   // of its first row among the partials; -1: straight to out
  std::int32_t lse_rows;      // of the group: page_lse of page p, row r, head h is at lse_begin + ((p - page_begin) * lse_rows + r - row_begin) * q_heads + h
  std::int64_t lse_begin;
};

/// A row whose pages were split: its partials are rows first_partial_row, first_partial_row + step, ..., in the order of the pages.
struct AttendJoin {
  std::int32_t row;
  std::int32_t first_partial_row, step, partials;
};

/// How a device splits a plan (kernels/split.hpp makes it on the host), in the stream's space. One long sequence would not fill a GPU otherwise.
struct AttendSplit {
  std::int32_t parts = -1;   // not split yet
  AttendPart const* part = nullptr;
  std::int32_t joins = 0;
  AttendJoin const* join = nullptr;
  std::int32_t partial_rows = 0;
  std::int32_t rows = 0;   // of the whole plan
};

/// What to attend, made once per step and layer as flat arrays in the stream's space (CSR). Rows of a group read the same
/// pages, so each key is converted once for all rows of the group and all query heads of its KV head.
///   row_offsets  [groups + 1]   rows of group g: row_offsets[g] .. row_offsets[g+1]
///   page_offsets [groups + 1]   pages of group g, indices into the next three arrays; none is allowed
///   slots, first_position, tokens   [page_offsets[groups]]   slot in the pool, position of its first token, tokens filled (0 .. page_tokens)
///   row_position [row_offsets[groups]]   position of each query row; it sees keys whose position <= its own
///   split        what cuda::attend takes its work from; the host's versions need none
struct AttendPlan {
  std::int32_t groups = 0;
  std::int32_t const* row_offsets = nullptr;
  std::int32_t const* page_offsets = nullptr;
  std::int32_t const* slots = nullptr;
  std::int32_t const* first_position = nullptr;
  std::int32_t const* tokens = nullptr;
  std::int32_t const* row_position = nullptr;
  AttendSplit split{};
};

/// Partial attention of every row over its group's pages.
///   q    [rows][q_heads][head_dim] fp32; query head h uses KV head h / (q_heads / kv_heads)
///   out  [rows][q_heads]...        overwritten
///   page_lse  nullptr, or one log-sum-exp per (page, row, query head): group after group, within one [pages][rows][q_heads]
/// scale multiplies q.k (1/sqrt(head_dim)). Reads each page of each group once per call: pages * layout.bytes().
/// Multiply-adds: 2 * q_heads * head_dim per (row, visible key). fp32 accumulation. The result depends neither on the number of threads
/// nor on what other groups are in the plan.

namespace reference {
void attend(PoolView const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse);
}
namespace host {
void attend(PoolView const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse,
            Stream& stream);
/// The instructions that attend on bf16 here, where head_dim is a multiple of 32 and rows are few: "AMX", or what the rest runs with.
char const* bf16_simd();
}
namespace cuda {   // every pointer, those of the plan included, in device memory; queued, not finished, on return; stream is a CudaStream
/// As above, by plan.split, with partials of parts in memory of its own: 4 (head_dim + 2) bytes per partial row and query head.
/// head_dim <= most_head_dim(type).
void attend(PoolView const& pool, AttendPlan const& plan, float const* q, std::int32_t q_heads, float scale, PartialView out, float* page_lse,
            Stream& stream);
constexpr std::int32_t most_head_dim(DType type) { return type == DType::f32 ? 256 : 512; }
}

}  // namespace pikv::kernels
