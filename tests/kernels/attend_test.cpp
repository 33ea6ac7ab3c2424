#include "kernels/attend.hpp"

#include <gtest/gtest.h>
#include <omp.h>

#include "attend_problem.hpp"
#include "tiles.hpp"

namespace pikv::kernels {
namespace {

void expect_close(std::vector<float> const& got, std::vector<double> const& wanted, double tolerance) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], wanted[i], tolerance * std::max(1.0, std::abs(wanted[i]))) << "at " << i;
}

void expect_close(std::vector<float> const& got, std::vector<float> const& wanted, double tolerance) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isinf(wanted[i]))
      ASSERT_EQ(got[i], wanted[i]) << "at " << i;
    else
      ASSERT_NEAR(got[i], wanted[i], tolerance * std::max(1.0f, std::abs(wanted[i]))) << "at " << i;
  }
}

/// A context of `tokens` in pages of `page_tokens`.
std::vector<std::int32_t> pages_of(std::int32_t tokens, std::int32_t page_tokens) {
  std::vector<std::int32_t> pages(static_cast<std::size_t>(tokens / page_tokens), page_tokens);
  if (tokens % page_tokens) pages.push_back(tokens % page_tokens);
  return pages;
}

struct Shape {
  DType dtype;
  std::int32_t q_heads, kv_heads, page_tokens, head_dim;
};

std::ostream& operator<<(std::ostream& to, Shape const& s) {
  return to << name_of(s.dtype) << " heads " << s.q_heads << "/" << s.kv_heads << " page " << s.page_tokens << " d " << s.head_dim;
}

class AttendTest : public ::testing::TestWithParam<Shape> {
 protected:
  Problem problem(std::vector<GroupShape> const& groups, float spread = 1) const {
    Shape const& s = GetParam();
    return make_problem({s.dtype, s.kv_heads, s.page_tokens, s.head_dim}, s.q_heads, groups, spread);
  }
  std::int32_t page_tokens() const { return GetParam().page_tokens; }
};

TEST_P(AttendTest, EqualsDenseAttentionOnEveryTarget) {
  auto p = problem({{1, pages_of(317, page_tokens())}, {3, {}}, {0, pages_of(9, page_tokens())}, {7, pages_of(131, page_tokens())}, {2, {1}}});
  auto const wanted = dense_attention(p);
  on_each_path([&] {
    Partial out = attend_on_host(p);
    expect_close(finished(out, p.layout.head_dim), wanted, 1e-5);
  });
}

TEST_P(AttendTest, HostEqualsReferenceToTheMaximumDenominatorAndPageMass) {
  auto p = problem({{2, pages_of(200, page_tokens())}, {5, {page_tokens(), 0, 1}}});
  std::vector<float> lse, wanted_lse;
  Partial const out = attend_on_host(p, &lse), wanted = attend_by_reference(p, &wanted_lse);
  expect_close(out.max, wanted.max, 1e-5);
  expect_close(out.denom, wanted.denom, 1e-4);
  expect_close(out.sum, wanted.sum, 1e-4);
  expect_close(lse, wanted_lse, 1e-5);
}

TEST_P(AttendTest, ARowOfAChunkSeesNoLaterKey) {
  auto p = problem({{33, pages_of(70, page_tokens()), 37}, {4, pages_of(40, page_tokens()), 0}});
  std::vector<float> lse, wanted_lse;
  Partial out = attend_on_host(p, &lse);
  attend_by_reference(p, &wanted_lse);
  expect_close(finished(out, p.layout.head_dim), dense_attention(p), 1e-5);
  expect_close(lse, wanted_lse, 1e-5);
}

TEST_P(AttendTest, ARowBeforeEveryKeyIsEmpty) {
  auto p = problem({{2, pages_of(40, page_tokens()), -1}});
  Partial const out = attend_on_host(p);
  for (std::int32_t head = 0; head < p.q_heads; ++head) {
    EXPECT_EQ(out.max[head], empty_max);
    EXPECT_EQ(out.denom[head], 0);
    EXPECT_EQ(out.denom[p.q_heads + head], 1) << "the second row sees one key";
  }
  for (std::int32_t i = 0; i < p.q_heads * p.layout.head_dim; ++i) EXPECT_EQ(out.sum[i], 0);
}

TEST_P(AttendTest, LogitsOfTenThousandNeitherOverflowNorDrownTheRest) {
  auto p = problem({{3, pages_of(150, page_tokens())}}, 3e4f / std::sqrt(static_cast<float>(GetParam().head_dim)));
  Partial out = attend_on_host(p);
  float const top = *std::max_element(out.max.begin(), out.max.end());
  ASSERT_GT(top, 1e3f);
  expect_close(finished(out, p.layout.head_dim), dense_attention(p), 2e-2);   // fp32 logits of 1e4 are good to 1e-3
}

TEST_P(AttendTest, ResultDoesNotDependOnThreadsOrOtherGroups) {
  GroupShape const long_one{1, pages_of(5000, page_tokens())}, chunk{40, pages_of(90, page_tokens()), 50};
  auto alone = problem({long_one}), together = problem({chunk, long_one});
  std::copy(alone.q.begin(), alone.q.end(), together.q.end() - static_cast<std::ptrdiff_t>(alone.q.size()));
  omp_set_num_threads(1);
  Partial const with_one = attend_on_host(alone), together_with_one = attend_on_host(together);
  omp_set_num_threads(2);
  EXPECT_EQ(attend_on_host(alone), with_one);
  Partial const both = attend_on_host(together);
  EXPECT_EQ(both, together_with_one);
  EXPECT_TRUE(std::equal(with_one.sum.begin(), with_one.sum.end(), both.sum.end() - static_cast<std::ptrdiff_t>(with_one.sum.size())));
  EXPECT_TRUE(std::equal(with_one.denom.begin(), with_one.denom.end(), both.denom.end() - static_cast<std::ptrdiff_t>(with_one.denom.size())));
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttendTest,
                         ::testing::Values(Shape{DType::bf16, 4, 2, 32, 64}, Shape{DType::f32, 4, 2, 8, 64}, Shape{DType::f16, 4, 2, 64, 64},
                                           Shape{DType::bf16, 32, 8, 16, 128}, Shape{DType::bf16, 6, 2, 32, 24}, Shape{DType::f32, 6, 2, 32, 24},
                                           Shape{DType::f16, 5, 5, 128, 40}, Shape{DType::bf16, 7, 1, 1, 80}, Shape{DType::f16, 9, 3, 2, 7},
                                           Shape{DType::bf16, 3, 3, 4, 1}, Shape{DType::f32, 8, 1, 256, 33}, Shape{DType::bf16, 3, 1, 8, 96},
                                           Shape{DType::bf16, 10, 2, 16, 160}, Shape{DType::bf16, 1, 1, 64, 32}));

// (I1): parts of one context, attended apart and merged in any order, are the attention over all of it.
TEST(AttendParts, AThousandPartsMergeToTheWhole) {
  auto whole = make_problem({DType::f32, 2, 4, 40}, 4, {{3, std::vector<std::int32_t>(1000, 3)}}, 4);
  Partial merged{3, 4, 40};
  Stream stream;
  for (std::int32_t i = 0; i < 1000; ++i) {
    Problem part = whole;
    std::int32_t const page = i * 377 % 1000;
    part.page_offsets = {0, 1};
    part.slots = {whole.slots[page]};
    part.tokens = {whole.tokens[page]};
    part.first_position = {whole.first_position[page]};
    Partial attended = attend_on_host(part);
    host::merge(merged.view(), attended.view(), 3, 4, 40, stream);
  }
  expect_close(finished(merged, 40), dense_attention(whole), 2e-5);
}

TEST(AttendParts, OneKeyIsItsValue) {
  auto p = make_problem({DType::bf16, 1, 32, 64}, 2, {{1, {1}}});
  Partial const out = attend_on_host(p);
  for (std::size_t i = 0; i < 128; ++i) EXPECT_EQ(out.sum[i], load_scalar(DType::bf16, p.pool().values(p.slots[0]), i % 64));
  EXPECT_EQ(out.denom[0], 1);
}

}  // namespace
}  // namespace pikv::kernels
