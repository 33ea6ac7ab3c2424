#include <gtest/gtest.h>

#include "attend_checks.hpp"
#include "backend.hpp"

namespace pikv::kernels {
namespace {

/// Results depend on nothing but the problem, so that each case is the same on every backend.
class AttendCases : public ::testing::TestWithParam<std::tuple<Backend const*, Shape>> {
 protected:
  void SetUp() override { PIKV_SKIP_WITHOUT(backend()); }
  Backend const* backend() const { return std::get<0>(GetParam()); }
  Shape const& shape() const { return std::get<1>(GetParam()); }
  Partial attend(Problem& problem, std::vector<float>* page_lse = nullptr) const { return backend()->attend(problem, page_lse); }
  Problem problem(std::vector<GroupShape> const& groups, float spread = 1) const {
    Shape const& s = shape();
    return make_problem({s.dtype, s.kv_heads, s.page_tokens, s.head_dim}, s.q_heads, groups, spread);
  }
  std::int32_t page_tokens() const { return shape().page_tokens; }
};

TEST_P(AttendCases, EqualsDenseAttention) {
  auto p = problem({{2, pages_of(317, page_tokens())}, {3, {}}, {0, pages_of(9, page_tokens())}, {7, pages_of(131, page_tokens())}, {2, {1}}});
  auto const wanted = dense_attention(p);
  Partial out = attend(p);
  expect_close(finished(out, p.layout.head_dim), wanted, 1e-5);
}

TEST_P(AttendCases, EqualsReferenceToTheMaximumDenominatorAndPageMass) {
  auto p = problem({{2, pages_of(200, page_tokens())}, {5, {page_tokens(), 0, 1}}});
  std::vector<float> lse, wanted_lse;
  Partial const out = attend(p, &lse), wanted = attend_by_reference(p, &wanted_lse);
  expect_close(out.max, wanted.max, 1e-5);
  expect_close(out.denom, wanted.denom, 1e-4);
  expect_close(out.sum, wanted.sum, 1e-4);
  expect_close(lse, wanted_lse, 1e-5);
}

TEST_P(AttendCases, ARowOfAChunkSeesNoLaterKey) {
  auto p = problem({{33, pages_of(70, page_tokens()), 37}, {4, pages_of(40, page_tokens()), 0}});
  std::vector<float> lse, wanted_lse;
  Partial out = attend(p, &lse);
  attend_by_reference(p, &wanted_lse);
  expect_close(finished(out, p.layout.head_dim), dense_attention(p), 1e-5);
  expect_close(lse, wanted_lse, 1e-5);
}

TEST_P(AttendCases, ARowBeforeEveryKeyIsEmpty) {
  auto p = problem({{2, pages_of(40, page_tokens()), -1}});
  Partial const out = attend(p);
  for (std::int32_t head = 0; head < p.q_heads; ++head) {
    EXPECT_EQ(out.max[head], empty_max);
    EXPECT_EQ(out.denom[head], 0);
    EXPECT_EQ(out.denom[p.q_heads + head], 1) << "the second row sees one key";
  }
  for (std::int32_t i = 0; i < p.q_heads * p.layout.head_dim; ++i) EXPECT_EQ(out.sum[i], 0);
}

TEST_P(AttendCases, LogitsOfTenThousandNeitherOverflowNorDrownTheRest) {
  auto p = problem({{3, pages_of(150, page_tokens())}}, 3e4f / std::sqrt(static_cast<float>(shape().head_dim)));
  Partial out = attend(p);
  float const top = *std::max_element(out.max.begin(), out.max.end());
  ASSERT_GT(top, 1e3f);
  expect_close(finished(out, p.layout.head_dim), dense_attention(p), 2e-2);   // fp32 logits of 1e4 are good to 1e-3
}

TEST_P(AttendCases, AGroupsResultDoesNotDependOnTheOthers) {
  GroupShape const long_one{1, pages_of(700, page_tokens())}, chunk{9, pages_of(90, page_tokens()), 80};
  auto alone = problem({long_one}), together = problem({chunk, long_one});
  std::copy(alone.q.begin(), alone.q.end(), together.q.end() - static_cast<std::ptrdiff_t>(alone.q.size()));
  Partial const of_one = attend(alone), of_both = attend(together);
  EXPECT_EQ(attend(alone), of_one);
  EXPECT_TRUE(std::equal(of_one.sum.rbegin(), of_one.sum.rend(), of_both.sum.rbegin()));
  EXPECT_TRUE(std::equal(of_one.denom.rbegin(), of_one.denom.rend(), of_both.denom.rbegin()));
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttendCases, ::testing::Combine(::testing::ValuesIn(backends()), ::testing::ValuesIn(attend_shapes)));

class AttendParts : public ::testing::TestWithParam<Backend const*> {
 protected:
  void SetUp() override { PIKV_SKIP_WITHOUT(GetParam()); }
};

// (I1): parts of one context, attended apart and merged in any order, are the attention over all of it.
TEST_P(AttendParts, AThousandPartsMergeToTheWhole) {
  auto whole = make_problem({DType::f32, 2, 4, 40}, 4, {{3, std::vector<std::int32_t>(1000, 3)}}, 4);
  Partial merged{3, 4, 40};
  for (std::int32_t i = 0; i < 1000; ++i) {
    std::int32_t const page = i * 377 % 1000;
    Problem part{whole.layout, whole.q_heads, whole.scale, {}, whole.q, whole.row_offsets, {}, {}, {}, {}, whole.row_position};
    part.page_offsets = {0, 1};
    auto const* const slot = whole.pool().keys(whole.slots[page]);
    part.memory.assign(slot, slot + whole.slot_bytes());
    part.slots = {0};
    part.tokens = {whole.tokens[page]};
    part.first_position = {whole.first_position[page]};
    Partial attended = GetParam()->attend(part, nullptr);
    GetParam()->merge(merged, attended, 3, 4, 40);
  }
  expect_close(finished(merged, 40), dense_attention(whole), 2e-5);
}

TEST_P(AttendParts, OneKeyIsItsValue) {
  auto p = make_problem({DType::bf16, 1, 32, 64}, 2, {{1, {1}}});
  Partial const out = GetParam()->attend(p, nullptr);
  for (std::size_t i = 0; i < 128; ++i) EXPECT_EQ(out.sum[i], load_scalar(DType::bf16, p.pool().values(p.slots[0]), i % 64));
  EXPECT_EQ(out.denom[0], 1);
}

INSTANTIATE_TEST_SUITE_P(Backends, AttendParts, ::testing::ValuesIn(backends()));

}  // namespace
}  // namespace pikv::kernels
