#include <gtest/gtest.h>

#include <cmath>

#include "backend.hpp"
#include "partials.hpp"

namespace pikv::kernels {
namespace {

class MergeCases : public ::testing::TestWithParam<Backend const*> {
 protected:
  void SetUp() override { PIKV_SKIP_WITHOUT(GetParam()); }
  void merge(Partial& into, Partial& part, std::int32_t rows, std::int32_t heads, std::int32_t d) { GetParam()->merge(into, part, rows, heads, d); }
};

TEST_P(MergeCases, FollowsTheExampleOfTheMethods) {   // (o, m, l) = (1, 0, 1) and (5, ln 3, 1) give o = 4
  Partial into{1, 1, 1}, part{1, 1, 1};
  into.sum = {1}, into.max = {0}, into.denom = {1};
  part.sum = {5}, part.max = {std::log(3.0f)}, part.denom = {1};
  merge(into, part, 1, 1, 1);
  EXPECT_NEAR(finished(into, 1)[0], 4, 1e-6);
  EXPECT_NEAR(std::exp(0 - into.max[0]) / into.denom[0], 0.25, 1e-6);
}

TEST_P(MergeCases, TwoEmptyPartsMergeToEmpty) {
  Partial into{2, 3, 5}, part{2, 3, 5}, empty{2, 3, 5};
  merge(into, part, 2, 3, 5);
  EXPECT_EQ(into, empty);
  EXPECT_EQ(finished(into, 5), std::vector<float>(30, 0.0f));
}

TEST_P(MergeCases, AnEmptyPartChangesNothing) {
  Partial const some = part_of(2, 3, 17, 3);
  Partial into = some, empty{2, 3, 17};
  merge(into, empty, 2, 3, 17);
  EXPECT_EQ(into, some);
  Partial from_empty{2, 3, 17}, part = some;
  merge(from_empty, part, 2, 3, 17);
  EXPECT_EQ(from_empty, some);
}

TEST_P(MergeCases, EqualsReferenceAtAnyShape) {
  for (auto const& [rows, heads, d] : partial_shapes) {
    Partial into = part_of(rows, heads, d, 1), part = part_of(rows, heads, d, 5);
    Partial wanted = into;
    merge(into, part, rows, heads, d);
    reference::merge(wanted.view(), part.view(), rows, heads, d);
    EXPECT_EQ(into.max, wanted.max);
    for (std::size_t i = 0; i < into.sum.size(); ++i) EXPECT_NEAR(into.sum[i], wanted.sum[i], 1e-5);
    for (std::size_t i = 0; i < into.denom.size(); ++i) EXPECT_NEAR(into.denom[i], wanted.denom[i], 1e-5f * wanted.denom[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, MergeCases, ::testing::ValuesIn(backends()));

}  // namespace
}  // namespace pikv::kernels
