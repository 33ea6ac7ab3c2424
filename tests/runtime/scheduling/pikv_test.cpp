#include "runtime/scheduling/pikv.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <stdexcept>

#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {
namespace {

LayerShape const plane{.head_dim = 2};

TEST(PikvScore, IsLikelihoodTimesCosineMappedToZeroToOne) {
  std::vector<PageSummaries> const summaries{summaries_of({{1, std::sqrt(3.f)}, {1, 0}, {0, 1}, {-1, 0}})};
  auto const pikv = make_pikv({.shape = plane, .summaries = summaries});
  EXPECT_EQ(utilities(*pikv, {0}), (std::vector<float>{.25f}));   // no query yet: .5 / 2
  pikv->query(0, 0, std::vector<float>{1, 0});
  auto const u = utilities(*pikv, {0, 1, 2, 3, 4});
  EXPECT_NEAR(u[0], .5 * .75, 1e-6);   // cosine .5
  EXPECT_NEAR(u[1], .5, 1e-6);
  EXPECT_NEAR(u[2], .25, 1e-6);   // orthogonal: half the likelihood
  EXPECT_NEAR(u[3], 0, 1e-6);
  EXPECT_NEAR(u[4], .25, 1e-6);   // no summary
}

TEST(PikvScore, IsSixTenthsInTheExample) {
  std::vector<PageSummaries> const summaries{summaries_of({{1, std::sqrt(3.f)}})};
  auto const pikv = make_pikv({.shape = plane, .summaries = summaries});
  pikv->query(0, 0, std::vector<float>{1, 0});
  int reads = 0;
  double likelihood = .5;
  for (; likelihood < .8; ++reads) {
    request(*pikv, {0});
    likelihood = .95 * likelihood + .05;
  }
  EXPECT_NEAR(utilities(*pikv, {0})[0], likelihood * .75, 1e-6);   // .8 and a cosine of .5: .6
  EXPECT_NEAR(likelihood * .75, .6, .01);
}

TEST(PikvScore, OrdersPagesByCosineWhenAllAreReadAlike) {
  std::mt19937 random{1};
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> keys(20, std::vector<float>(2));
  for (auto& key : keys) key = {normal(random), normal(random)};
  std::vector<PageSummaries> const summaries{summaries_of(keys)};
  auto const pikv = make_pikv({.shape = plane, .summaries = summaries});
  pikv->query(0, 0, std::vector<float>{.6f, -.8f});
  auto const u = utilities(*pikv, blocks(20));
  auto const cosine = [&](std::size_t i) { return (.6f * keys[i][0] - .8f * keys[i][1]) / std::hypot(keys[i][0], keys[i][1]); };
  for (std::size_t i = 0; i < 20; ++i)
    for (std::size_t j = 0; j < 20; ++j)
      if (cosine(i) < cosine(j) - 1e-5f) {
        EXPECT_LT(u[i], u[j]);
      }
}

TEST(PikvScore, DoesNotDependOnTheLengthsOfQueriesAndKeys) {
  std::vector<PageSummaries> const summaries{summaries_of({{1, 2}, {10, 20}})};
  auto const soft = make_pikv({.shape = plane, .summaries = summaries}), loud = make_pikv({.shape = plane, .summaries = summaries});
  soft->query(0, 0, std::vector<float>{.3f, .1f});
  loud->query(0, 0, std::vector<float>{30, 10});
  auto const u = utilities(*soft, {0, 1});
  EXPECT_NEAR(u[0], u[1], 1e-6);
  EXPECT_NEAR(utilities(*loud, {0})[0], u[0], 1e-6);
}

TEST(PikvScore, FollowsTheMovingAverageOfTheQueries) {
  std::vector<PageSummaries> const summaries{summaries_of({{1, 0}, {0, 1}})};
  auto const pikv = make_pikv({.shape = plane, .summaries = summaries});
  pikv->query(0, 0, std::vector<float>{1, 0});
  pikv->query(0, 1, std::vector<float>{0, 1});
  auto const u = utilities(*pikv, {0, 1});
  double const length = std::hypot(.9, .1);
  EXPECT_NEAR(u[0], .5 * (1 + .9 / length) / 2, 1e-6);
  EXPECT_NEAR(u[1], .5 * (1 + .1 / length) / 2, 1e-6);
}

TEST(PikvScore, TakesTheHeadThatMatchesBestEachAgainstItsKvHead) {
  std::vector<PageSummaries> const summaries{summaries_of({{1, 0, 0, 1}}, 2)};
  auto const pikv = make_pikv({.shape = {.kv_heads = 2, .q_heads = 4, .head_dim = 2}, .summaries = summaries});
  pikv->query(0, 0, std::vector<float>{0, 1, -1, 0, 1, 0, .6f, .8f});   // cosines 0 -1 against the first, 0 .8 against the second
  EXPECT_NEAR(utilities(*pikv, {0})[0], .5 * .9, 1e-6);
}

TEST(PikvScore, RefusesAQueryThatIsNotANumberOrOfAnotherShape) {
  std::vector<PageSummaries> const summaries{summaries_of({{1, 0}})};
  auto const pikv = make_pikv({.shape = plane, .summaries = summaries});
  EXPECT_THROW(pikv->query(0, 0, std::vector<float>{1, std::nanf("")}), std::logic_error);
  EXPECT_THROW(pikv->query(0, 0, std::vector<float>{1}), std::logic_error);
}

}   // namespace
}   // namespace pikv::test
