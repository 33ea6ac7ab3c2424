#include "runtime/scheduling/lru_plus.hpp"

#include <gtest/gtest.h>

#include <random>

#include "runtime/scheduling/lru.hpp"
#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {
namespace {

TEST(LruPlus, IsLruWhenOnlyRecencyWeighs) {
  auto const plus = make_lru_plus(material(), {.recency = 1, .frequency = 0, .mass = 0});
  auto const lru = make_lru(material());
  std::mt19937 random{5};
  for (int step = 0; step < 500; ++step) {
    auto const page = static_cast<Block>(random() % 30);
    request(*plus, {page});
    request(*lru, {page});
    EXPECT_EQ(utilities(*plus, blocks(30)), utilities(*lru, blocks(30)));
  }
}

TEST(LruPlus, PrefersOfTwoPagesTheOneReadLaterOftenerOrHarder) {
  auto const later = make_lru_plus(material(), {.recency = 1, .frequency = 0, .mass = 0});
  request(*later, {0});
  request(*later, {1});
  auto u = utilities(*later, {0, 1});
  EXPECT_LT(u[0], u[1]);

  auto const oftener = make_lru_plus(material(), {.recency = 0, .frequency = 1, .mass = 0});
  for (Block const page : {1, 1, 0}) request(*oftener, {page});
  u = utilities(*oftener, {0, 1});
  EXPECT_FLOAT_EQ(u[0], static_cast<float>(std::log(2.0) / std::log(3.0)));
  EXPECT_FLOAT_EQ(u[1], 1);

  auto const harder = make_lru_plus(material(), {.recency = 0, .frequency = 0, .mass = 1});
  read(*harder, 0, {0, 1}, {.25f, .75f});
  u = utilities(*harder, {0, 1});
  EXPECT_FLOAT_EQ(u[0], 1 / 3.f);
  EXPECT_FLOAT_EQ(u[1], 1);
}

TEST(LruPlus, AddsThePartsByTheirWeights) {
  auto const plus = make_lru_plus(material());
  read(*plus, 0, {0, 1}, {.25f, .75f});
  auto const u = utilities(*plus, {0, 1});
  EXPECT_FLOAT_EQ(u[0], .3f + .3f + .4f / 3);
  EXPECT_FLOAT_EQ(u[1], 1);
}

TEST(LruPlus, ForgetsHalfOfTheReadsEvery512Steps) {
  auto const plus = make_lru_plus(material(), {.recency = 0, .frequency = 1, .mass = 0});
  for (int i = 0; i < 6; ++i) request(*plus, {0});
  for (int step = 6; step < 512; ++step) plus->tick();
  for (int i = 0; i < 3; ++i) request(*plus, {1});
  auto const u = utilities(*plus, {0, 1});
  EXPECT_EQ(u[0], u[1]);   // 6 / 2 against 3
}

TEST(LruPlus, DividesByNothingWhenNothingWasEverRead) {
  auto const plus = make_lru_plus(material());
  for (float const u : utilities(*plus, blocks(3))) EXPECT_FLOAT_EQ(u, .3f);   // new: recency alone
}

}   // namespace
}   // namespace pikv::test
