#include "runtime/scheduling/flexgen.hpp"

#include <gtest/gtest.h>

#include <random>
#include <stdexcept>

#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {
namespace {

using Placed = std::vector<std::int32_t>;
PlacementOptions const page{.page_bytes = 1e6};
Placed nowhere(std::size_t n) { return Placed(n, -1); }

double seconds(std::vector<double> const& f, Placed const& placed, std::vector<Tier> const& tiers) {
  double sum = 0;
  for (std::size_t i = 0; i < f.size(); ++i) {
    Tier const& tier = tiers.at(static_cast<std::size_t>(placed[i]));
    sum += f[i] * (tier.latency_s + page.page_bytes / tier.bytes_per_second);
  }
  return sum;
}

bool fits(Placed const& placed, std::vector<Tier> const& tiers) {
  for (std::size_t tier = 0; tier < tiers.size(); ++tier)
    if (std::count(placed.begin(), placed.end(), static_cast<std::int32_t>(tier)) > tiers[tier].pages) return false;
  return true;
}

double best_seconds(std::vector<double> const& f, std::vector<Tier> const& tiers) {
  double best = std::numeric_limits<double>::infinity();
  auto const kinds = static_cast<std::size_t>(std::ssize(tiers));
  std::size_t all = 1;
  for (std::size_t i = 0; i < f.size(); ++i) all *= kinds;
  for (std::size_t code = 0; code < all; ++code) {
    Placed placed;
    for (std::size_t i = 0, rest = code; i < f.size(); ++i, rest /= kinds) placed.push_back(static_cast<std::int32_t>(rest % kinds));
    if (fits(placed, tiers)) best = std::min(best, seconds(f, placed, tiers));
  }
  return best;
}

std::vector<Tier> tiers_of(std::mt19937& random, std::int64_t pages) {
  return {{.pages = static_cast<std::int64_t>(random() % static_cast<unsigned>(pages + 1)), .latency_s = 1e-6, .bytes_per_second = 1e12},
          {.pages = static_cast<std::int64_t>(random() % static_cast<unsigned>(pages + 1)), .latency_s = 1e-5, .bytes_per_second = 2e10},
          {.pages = pages, .latency_s = 1e-3, .bytes_per_second = 1e9}};
}

std::vector<double> random_rates(std::mt19937& random, std::size_t n) {
  std::vector<double> f(n);
  for (double& rate : f) rate = static_cast<double>(random() % 10) / 10;   // ties on purpose
  return f;
}

TEST(Place, PutsTheMostReadPagesOfTheExampleInTheFastTier) {
  std::vector<Tier> const tiers{{.pages = 2, .bytes_per_second = 1e12}, {.pages = 3, .bytes_per_second = 1e9}};
  EXPECT_EQ(place(std::vector<double>{5, 1, 3}, nowhere(3), tiers, page), (Placed{0, 1, 0}));
}

TEST(Place, IsAsGoodAsTheBestOfAllPlacements) {
  std::mt19937 random{1};
  for (int round = 0; round < 60; ++round) {
    std::size_t const n = 1 + random() % 8;
    auto const tiers = tiers_of(random, static_cast<std::int64_t>(n));
    auto const f = random_rates(random, n);
    auto const placed = place(f, nowhere(n), tiers, page);
    ASSERT_TRUE(fits(placed, tiers));
    EXPECT_NEAR(seconds(f, placed, tiers), best_seconds(f, tiers), 1e-12);
  }
}

TEST(Place, NeverExceedsATierWhateverLaysWhereAndNeverMakesReadsSlower) {
  std::mt19937 random{2};
  for (int round = 0; round < 300; ++round) {
    std::size_t const n = 1 + random() % 40;
    auto const tiers = tiers_of(random, static_cast<std::int64_t>(n));
    auto const f = random_rates(random, n);
    Placed now(n);
    for (auto& tier : now) tier = static_cast<std::int32_t>(random() % 4) - 1;
    ASSERT_TRUE(fits(place(f, now, tiers, page), tiers));
    Placed const before = place(random_rates(random, n), nowhere(n), tiers, page);
    Placed const after = place(f, before, tiers, page);
    ASSERT_TRUE(fits(after, tiers));
    EXPECT_LE(seconds(f, after, tiers), seconds(f, before, tiers) + 1e-12);
    EXPECT_EQ(place(f, after, tiers, page), after) << "nothing is left to gain";
  }
}

TEST(Place, PromotesNoPageThatIsReadLessThanOneItDemotes) {
  std::mt19937 random{3};
  for (int round = 0; round < 300; ++round) {
    std::size_t const n = 2 + random() % 30;
    std::vector<Tier> const tiers{{.pages = static_cast<std::int64_t>(n / 2), .bytes_per_second = 1e12},
                                  {.pages = static_cast<std::int64_t>(n), .latency_s = 1e-4, .bytes_per_second = 1e10}};
    auto const f = random_rates(random, n);
    Placed const before = place(random_rates(random, n), nowhere(n), tiers, page);
    Placed const after = place(f, before, tiers, page);
    for (std::size_t up = 0; up < n; ++up)
      for (std::size_t down = 0; down < n; ++down)
        if (after[up] < before[up] && after[down] > before[down]) {
          EXPECT_GE(f[up], f[down]);
        }
  }
}

TEST(Place, MovesNothingAmongPagesThatAreReadAlike) {
  std::vector<Tier> const tiers{{.pages = 2, .bytes_per_second = 1e12}, {.pages = 4, .bytes_per_second = 1e9}};
  Placed const now{1, 0, 1, 0};
  EXPECT_EQ(place(std::vector<double>(4, .5), now, tiers, page), now);
}

TEST(Place, MovesAPageOnlyIfThatPaysWithinTheHorizon) {
  // a read costs 1 us or 1001 us, a move 1000 us: alone it pays from f * 1000 us * 256 > 1000 us, a change of places from twice that
  std::vector<Tier> const roomy{{.pages = 1, .bytes_per_second = 1e12}, {.pages = 2, .latency_s = 1e-6, .bytes_per_second = 1e9}};
  EXPECT_EQ(place(std::vector<double>{.99 / 256}, Placed{1}, roomy, page), (Placed{1}));
  EXPECT_EQ(place(std::vector<double>{1.01 / 256}, Placed{1}, roomy, page), (Placed{0}));
  EXPECT_EQ(place(std::vector<double>{.5, .5 + 1.99 / 256}, Placed{0, 1}, roomy, page), (Placed{0, 1}));
  EXPECT_EQ(place(std::vector<double>{.5, .5 + 2.01 / 256}, Placed{0, 1}, roomy, page), (Placed{1, 0}));
}

TEST(Place, RefusesTooLittleRoomAndTiersOutOfOrder) {
  std::vector<Tier> const small{{.pages = 1}};
  EXPECT_THROW(place(std::vector<double>{1, 1}, nowhere(2), small, page), std::logic_error);
  std::vector<Tier> const reversed{{.pages = 2, .bytes_per_second = 1e9}, {.pages = 2, .bytes_per_second = 1e12}};
  EXPECT_THROW(place(std::vector<double>{1, 1}, nowhere(2), reversed, page), std::logic_error);
}

TEST(FlexGen, UtilityIsTheMovingAverageOfReadsPerStep) {
  auto const flexgen = make_flexgen(material());
  request(*flexgen, {0, 1});   // new: as if read in every step before
  auto u = utilities(*flexgen, {0, 1, 2});
  EXPECT_FLOAT_EQ(u[0], 1);
  EXPECT_FLOAT_EQ(u[2], 1);
  for (int step = 0; step < 3; ++step) request(*flexgen, {1});
  request(*flexgen, {0});
  u = utilities(*flexgen, {0, 1});
  EXPECT_FLOAT_EQ(u[0], static_cast<float>(std::pow(.95, 4) + .05));
  EXPECT_FLOAT_EQ(u[1], .95f);
}

TEST(FlexGen, CountsAPageOnceAStep) {
  auto const flexgen = make_flexgen(material());
  request(*flexgen, {0, 1});
  for (int step = 0; step < 10; ++step) request(*flexgen, {1});
  read(*flexgen, 0, {0}, {1});
  read(*flexgen, 0, {0}, {1});
  EXPECT_FLOAT_EQ(utilities(*flexgen, {0})[0], static_cast<float>(std::pow(.95, 11) + .05));
}

}   // namespace
}   // namespace pikv::test
