#pragma once

#include <cstdint>
#include <vector>

#include "kernels/attend.hpp"

namespace pikv::kernels {

/// The arrays of an AttendSplit, in host memory.
struct SplitPlan {
  std::vector<AttendPart> part;
  std::vector<AttendJoin> join;
  std::int32_t partial_rows = 0;
  std::int32_t rows = 0;
};

/// Splits a plan whose arrays are in host memory, made once per step and layer like the plan. Rows are taken so that about four (row, query head)
/// share a key; a group's pages go in runs of 256 keys, at least 4 pages. How a group is split depends on that group alone.
SplitPlan split_plan(AttendPlan const& plan, std::int32_t q_heads, PageLayout const& layout);

}  // namespace pikv::kernels
