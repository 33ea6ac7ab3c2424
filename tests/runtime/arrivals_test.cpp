#include "runtime/arrivals.hpp"

#include <gtest/gtest.h>

namespace pikv::runtime {
namespace {

std::vector<Request> requests(std::size_t count) {
  std::vector<Request> made(count);
  for (std::size_t i = 0; i < count; ++i) made[i].index = static_cast<std::int64_t>(i);
  return made;
}

TEST(Arrivals, AreAPoissonProcessOfTheRate) {
  auto drawn = requests(20000);
  draw_arrivals(drawn, 50, 1);
  double square = 0;
  for (std::size_t i = 1; i < drawn.size(); ++i) {
    double const gap = drawn[i].arrival_s - drawn[i - 1].arrival_s;
    ASSERT_GE(gap, 0);
    square += gap * gap / 20000;
  }
  EXPECT_NEAR(drawn.back().arrival_s, 400, 12);        // mean gap 1 / 50
  EXPECT_NEAR(square, 2.0 / (50 * 50), 0.0001);        // as exponential gaps have it
}

TEST(Arrivals, GivenOnesStayAndASeedReplays) {
  auto a = requests(5), b = requests(5), c = requests(5);
  a[2].arrival_s = b[2].arrival_s = 7;
  draw_arrivals(a, 1, 3);
  draw_arrivals(b, 1, 3);
  draw_arrivals(c, 1, 4);
  EXPECT_EQ(a[2].arrival_s, 7);
  EXPECT_EQ(a[4].arrival_s, b[4].arrival_s);
  EXPECT_NE(a[4].arrival_s, c[4].arrival_s);
}

}  // namespace
}  // namespace pikv::runtime
