#include "kernels/merge.hpp"

#include <gtest/gtest.h>

#include "partials.hpp"

namespace pikv::kernels {
namespace {

TEST(Merge, OfTwoEmptyPartsIsEmptyByTheReferenceToo) {
  Partial into{2, 3, 5}, part{2, 3, 5}, empty{2, 3, 5};
  reference::merge(into.view(), part.view(), 2, 3, 5);
  EXPECT_EQ(into, empty);
}

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
