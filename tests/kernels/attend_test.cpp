#include "kernels/attend.hpp"

#include <gtest/gtest.h>
#include <omp.h>

#include <map>

#include "attend_checks.hpp"
#include "kernels/split.hpp"
#include "tiles.hpp"

namespace pikv::kernels {
namespace {

// What is true of the host's version alone; attend_cases.cpp holds what is true of every backend.
Problem problem_of(Shape const& s, std::vector<GroupShape> const& groups) {
  return make_problem({s.dtype, s.kv_heads, s.page_tokens, s.head_dim}, s.q_heads, groups);
}

TEST(AttendOnHost, EqualsDenseAttentionOnEveryTarget) {
  for (Shape const& shape : attend_shapes) {
    SCOPED_TRACE(::testing::PrintToString(shape));
    std::int32_t const p = shape.page_tokens;
    auto problem = problem_of(shape, {{1, pages_of(317, p)}, {3, {}}, {0, pages_of(9, p)}, {7, pages_of(131, p)}, {2, {1}}});
    auto const wanted = dense_attention(problem);
    on_each_path([&] {
      Partial out = attend_on_host(problem);
      expect_close(finished(out, shape.head_dim), wanted, 1e-5);
    });
  }
}

TEST(AttendOnHost, ResultDoesNotDependOnThreads) {
  for (Shape const& shape : attend_shapes) {
    SCOPED_TRACE(::testing::PrintToString(shape));
    auto problem = problem_of(shape, {{40, pages_of(90, shape.page_tokens), 50}, {1, pages_of(5000, shape.page_tokens)}});
    omp_set_num_threads(1);
    Partial const with_one = attend_on_host(problem);
    omp_set_num_threads(2);
    EXPECT_EQ(attend_on_host(problem), with_one);
  }
}

TEST(SplitPlan, CoversEachRowAndPageOnceAndPutsThePartialsOfARowInTheOrderOfPages) {
  for (Shape const& shape : attend_shapes) {
    SCOPED_TRACE(::testing::PrintToString(shape));
    std::int32_t const p = shape.page_tokens;
    auto const problem = problem_of(shape, {{5, pages_of(3000, p)}, {0, pages_of(9, p)}, {2, {}}, {7, pages_of(40, p)}});
    AttendPlan const plan = problem.plan();
    SplitPlan const split = split_plan(plan, problem.q_heads, problem.layout);
    std::map<std::int64_t, int> lse_rows;                                 // where page_lse of a (page, row) begins
    std::map<std::int32_t, std::int32_t> page_of_partial, rows_written;   // partial row: its first page; row: times written straight
    for (AttendPart const& part : split.part) {
      for (std::int32_t r = 0; r < part.rows; ++r) {
        for (std::int32_t page = part.page_begin; page < part.page_end; ++page)
          ++lse_rows[part.lse_begin + (std::int64_t{page - part.page_begin} * part.lse_rows + r) * problem.q_heads];
        if (part.partial_row < 0)
          ++rows_written[part.row_begin + r];
        else
          EXPECT_TRUE(page_of_partial.emplace(part.partial_row + r, part.page_begin).second);
      }
    }
    EXPECT_EQ(lse_rows.size() * problem.q_heads, problem.lse_count());
    EXPECT_EQ(std::ssize(page_of_partial), split.partial_rows);
    for (AttendJoin const& join : split.join) {
      ++rows_written[join.row];
      EXPECT_EQ(page_of_partial.at(join.first_partial_row), 0) << "the first group alone is split";
      for (std::int32_t n = 1; n < join.partials; ++n)
        EXPECT_GT(page_of_partial.at(join.first_partial_row + n * join.step), page_of_partial.at(join.first_partial_row + (n - 1) * join.step));
    }
    EXPECT_EQ(rows_written.size(), problem.rows());
    for (auto const& [row, times] : rows_written) EXPECT_EQ(times, 1) << "row " << row;
  }
}

}  // namespace
}  // namespace pikv::kernels
