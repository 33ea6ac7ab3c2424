#include "runtime/calibration/drift.hpp"

#include <gtest/gtest.h>

namespace pikv::test {
namespace {

using runtime::DriftCheck;
using shards::Part;

DriftCheck two_layers_of_two_heads() { return {{std::vector{.1, .2, .3, .4}, std::vector{.01, .02, 0., .04}}, 2}; }

TEST(DriftCheck, SaysNothingWhereErrorsAreWhatWasMeasured) {
  DriftCheck drift = two_layers_of_two_heads();
  for (int i = 0; i < 1000; ++i) {
    drift.page(1, 0, Part::keys, i % 2 == 0 ? .15 : .45);   // .3 on average
    EXPECT_FALSE(drift.warning());
  }
  EXPECT_NEAR(drift.ratio(1, 0, Part::keys), 1, .05);
}

TEST(DriftCheck, SaysOnceWhichErrorsHaveGrown) {
  DriftCheck drift = two_layers_of_two_heads();
  int said = 0;
  for (int i = 0; i < 1000; ++i) {
    drift.page(1, 1, Part::values, .04 * 2);
    drift.page(0, 0, Part::keys, .1 * 3);
    auto const warning = drift.warning();
    if (!warning) continue;
    ++said;
    EXPECT_GE(i, 31) << "too few pages to tell";
    EXPECT_NE(warning->find("recalibrate"), std::string::npos);
    EXPECT_NE(warning->find("values of layer 1, head 1"), std::string::npos);   // the first of the two to be seen 32 times
  }
  EXPECT_EQ(said, 1);
  EXPECT_NEAR(drift.ratio(1, 1, Part::values), 2, 1e-6);
  EXPECT_NEAR(drift.ratio(0, 0, Part::keys), 3, 1e-6);
  EXPECT_EQ(drift.ratio(0, 0, Part::values), 1);
}

TEST(DriftCheck, OnePageFarOffIsNoDrift) {
  DriftCheck drift = two_layers_of_two_heads();
  for (int i = 0; i < 200; ++i) {
    drift.page(0, 1, Part::keys, i == 100 ? 2 : .2);
    EXPECT_FALSE(drift.warning());
  }
}

TEST(DriftCheck, ComparesNothingWhereNothingIsLost) {
  DriftCheck drift = two_layers_of_two_heads();
  for (int i = 0; i < 100; ++i) drift.page(1, 0, Part::values, .5);
  EXPECT_FALSE(drift.warning());
  EXPECT_EQ(drift.ratio(1, 0, Part::values), 1);
}

TEST(DriftCheck, LooksAtOnePageInSixtyFour) {
  int checked = 0;
  for (std::uint64_t stream = 0; stream < 32; ++stream)
    for (std::uint16_t layer = 0; layer < 32; ++layer)
      for (std::int32_t block = 0; block < 64; ++block)
        checked += runtime::is_checked_for_drift({.stream = {stream, ~stream}, .layer = layer, .head_end = 8, .block = block}) ? 1 : 0;
  EXPECT_NEAR(checked, 32 * 32 * 64 / 64, 150);
}

}  // namespace
}  // namespace pikv::test
