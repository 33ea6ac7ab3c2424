#include "kernels/attend.hpp"

#include <gtest/gtest.h>
#include <omp.h>

#include "attend_checks.hpp"
#include "targets.hpp"

namespace pikv::kernels {
namespace {

// What is true of the host's version alone; attend_cases.cpp holds what is true of every backend.
Problem problem_of(PageLayout const& layout, std::vector<GroupShape> const& groups) { return make_problem(layout, 2 * layout.kv_heads, groups); }

PageLayout const layouts[] = {{DType::bf16, 2, 32, 64}, {DType::f32, 2, 8, 64}, {DType::f16, 2, 64, 64}, {DType::bf16, 3, 32, 24}, {DType::f16, 5, 128, 40},
                              {DType::bf16, 1, 1, 80},  {DType::f16, 3, 2, 7},  {DType::bf16, 3, 4, 1},  {DType::f32, 1, 256, 33}};

TEST(AttendOnHost, EqualsDenseAttentionOnEveryTarget) {
  for (PageLayout const& layout : layouts) {
    std::int32_t const p = layout.page_tokens;
    auto problem = problem_of(layout, {{1, pages_of(317, p)}, {3, {}}, {0, pages_of(9, p)}, {7, pages_of(131, p)}, {2, {1}}});
    auto const wanted = dense_attention(problem);
    on_each_target([&] {
      Partial out = attend_on_host(problem);
      expect_close(finished(out, layout.head_dim), wanted, 1e-5);
    });
  }
}

TEST(AttendOnHost, ResultDoesNotDependOnThreads) {
  for (PageLayout const& layout : layouts) {
    auto problem = problem_of(layout, {{40, pages_of(90, layout.page_tokens), 50}, {1, pages_of(5000, layout.page_tokens)}});
    omp_set_num_threads(1);
    Partial const with_one = attend_on_host(problem);
    omp_set_num_threads(2);
    EXPECT_EQ(attend_on_host(problem), with_one);
  }
}

}  // namespace
}  // namespace pikv::kernels
