#include "kernels/split.hpp"

#include <algorithm>

namespace pikv::kernels {
namespace {

constexpr std::int32_t records = 4, keys = 256, least_pages = 4;

}  // namespace

SplitPlan split_plan(AttendPlan const& plan, std::int32_t q_heads, PageLayout const& layout) {
  std::int32_t const rows_at_once = std::max(1, records * layout.kv_heads / q_heads);
  std::int32_t const pages_at_once = std::max(least_pages, keys / layout.page_tokens);
  SplitPlan split;
  split.rows = plan.row_offsets[plan.groups];
  std::int64_t lse = 0;
  for (std::int32_t group = 0; group < plan.groups; ++group) {
    std::int32_t const row_begin = plan.row_offsets[group], row_end = plan.row_offsets[group + 1], rows_of_group = row_end - row_begin;
    std::int32_t const page_begin = plan.page_offsets[group], page_end = plan.page_offsets[group + 1];
    std::int32_t const runs = std::max(1, (page_end - page_begin + pages_at_once - 1) / pages_at_once);
    for (std::int32_t row = row_begin; row < row_end; row += rows_at_once) {
      std::int32_t const rows = std::min(rows_at_once, row_end - row), first_partial_row = split.partial_rows;
      for (std::int32_t run = 0; run < runs; ++run) {
        std::int32_t const first = page_begin + run * pages_at_once, page_of_group = first - page_begin;
        split.part.push_back({.row_begin = row,
                              .rows = rows,
                              .page_begin = first,
                              .page_end = std::min(first + pages_at_once, page_end),
                              .partial_row = runs == 1 ? -1 : first_partial_row + run * rows,
                              .lse_rows = rows_of_group,
                              .lse_begin = lse + (std::int64_t{page_of_group} * rows_of_group + row - row_begin) * q_heads});
      }
      if (runs == 1) continue;
      split.partial_rows += runs * rows;
      for (std::int32_t r = 0; r < rows; ++r) split.join.push_back({row + r, first_partial_row + r, rows, runs});
    }
    lse += std::int64_t{page_end - page_begin} * rows_of_group * q_heads;
  }
  return split;
}

}  // namespace pikv::kernels
