#include "kernels/merge.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "attend_problem.hpp"

namespace pikv::kernels {
namespace {

Stream stream;

Partial part_of(std::size_t rows, std::size_t heads, std::size_t d, std::uint32_t seed) {
  Partial part{rows, heads, d};
  part.sum = random_floats(rows * heads * d, seed);
  part.max = random_floats(rows * heads, seed + 1, 5);
  for (std::size_t i = 0; i < part.denom.size(); ++i) part.denom[i] = 1 + static_cast<float>(i);
  return part;
}

TEST(Merge, FollowsTheExampleOfTheMethods) {   // (o, m, l) = (1, 0, 1) and (5, ln 3, 1) give o = 4
  Partial into{1, 1, 1}, part{1, 1, 1};
  into.sum = {1}, into.max = {0}, into.denom = {1};
  part.sum = {5}, part.max = {std::log(3.0f)}, part.denom = {1};
  host::merge(into.view(), part.view(), 1, 1, 1, stream);
  EXPECT_NEAR(finished(into, 1)[0], 4, 1e-6);
  EXPECT_NEAR(std::exp(0 - into.max[0]) / into.denom[0], 0.25, 1e-6);
}

TEST(Merge, TwoEmptyPartsMergeToEmpty) {
  Partial into{2, 3, 5}, part{2, 3, 5}, empty{2, 3, 5};
  host::merge(into.view(), part.view(), 2, 3, 5, stream);
  EXPECT_EQ(into, empty);
  reference::merge(into.view(), part.view(), 2, 3, 5);
  EXPECT_EQ(into, empty);
  EXPECT_EQ(finished(into, 5), std::vector<float>(30, 0.0f));
}

TEST(Merge, AnEmptyPartChangesNothing) {
  Partial const some = part_of(2, 3, 17, 3);
  Partial into = some, empty{2, 3, 17};
  host::merge(into.view(), empty.view(), 2, 3, 17, stream);
  EXPECT_EQ(into, some);
  Partial from_empty{2, 3, 17}, part = some;
  host::merge(from_empty.view(), part.view(), 2, 3, 17, stream);
  EXPECT_EQ(from_empty, some);
}

class MergeTest : public ::testing::TestWithParam<std::array<std::int32_t, 3>> {};

TEST_P(MergeTest, HostEqualsReference) {
  auto const [rows, heads, d] = GetParam();
  Partial into = part_of(rows, heads, d, 1), part = part_of(rows, heads, d, 5);
  Partial wanted = into;
  host::merge(into.view(), part.view(), rows, heads, d, stream);
  reference::merge(wanted.view(), part.view(), rows, heads, d);
  EXPECT_EQ(into.max, wanted.max);
  for (std::size_t i = 0; i < into.sum.size(); ++i) EXPECT_NEAR(into.sum[i], wanted.sum[i], 1e-5);
  for (std::size_t i = 0; i < into.denom.size(); ++i) EXPECT_NEAR(into.denom[i], wanted.denom[i], 1e-5f * wanted.denom[i]);
  std::vector<float> out(into.sum.size()), wanted_out(into.sum.size());
  host::finish(wanted.view(), out.data(), rows, heads, d, stream);
  reference::finish(wanted.view(), wanted_out.data(), rows, heads, d);
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_NEAR(out[i], wanted_out[i], 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Shapes, MergeTest,
                         ::testing::Values(std::array{0, 4, 64}, std::array{1, 1, 1}, std::array{3, 5, 24}, std::array{7, 4, 40},
                                           std::array{300, 8, 128}));

class CheckWire : public ::testing::Test {
 protected:
  Partial part = part_of(2, 2, 37, 9);
  bool passes() { return check_wire(part.view(), 2, 2, 37); }
  static constexpr float nan = std::numeric_limits<float>::quiet_NaN();
};

TEST_F(CheckWire, PassesAPartWithAndWithoutKeys) {
  EXPECT_TRUE(passes());
  part = Partial{2, 2, 37};
  EXPECT_TRUE(passes());
}

TEST_F(CheckWire, RefusesNanAnywhere) {
  for (std::size_t i = 0; i < part.sum.size(); ++i) {
    float const kept = std::exchange(part.sum[i], nan);
    EXPECT_FALSE(passes()) << "sum " << i;
    part.sum[i] = kept;
  }
  for (auto* values : {&part.max, &part.denom}) {
    for (float& value : *values) {
      float const kept = std::exchange(value, nan);
      EXPECT_FALSE(passes());
      value = kept;
    }
  }
}

TEST_F(CheckWire, RefusesANegativeDenominator) {
  part.denom[3] = -1;
  EXPECT_FALSE(passes());
}

TEST_F(CheckWire, RefusesAPartThatIsHalfEmpty) {
  part.max[1] = empty_max;
  EXPECT_FALSE(passes());
  part.denom[1] = 0;
  EXPECT_FALSE(passes()) << "its sum is not 0";
  std::fill_n(part.sum.begin() + 37, 37, 0.0f);
  EXPECT_TRUE(passes());
  part.max[1] = 2;
  EXPECT_FALSE(passes());
}

}  // namespace
}  // namespace pikv::kernels
