#include "runtime/routing/expert_history.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace pikv::runtime {
namespace {

TEST(ExpertHistory, StartsWithoutPenaltiesAndWithEvenLoads) {
  ExpertHistory const history{4, 10};
  EXPECT_EQ(history.stats().miss, std::vector<float>(4, 0.0f));
  EXPECT_EQ(history.stats().load, std::vector<float>(4, 0.25f));
}

TEST(ExpertHistory, MissesAreAMeanOverStepsOfTheShareMissed) {
  ExpertHistory history{2, 10};
  history.read(0, 8, 2);
  history.read(0, 2, 2);
  history.read(1, 5, 0);
  history.end_step();
  EXPECT_NEAR(history.stats().miss[0], 0.05 * 0.4, 1e-7);
  EXPECT_EQ(history.stats().miss[1], 0);
  for (int step = 0; step < 500; ++step) {
    history.read(0, 1, 1);
    history.end_step();
  }
  EXPECT_NEAR(history.stats().miss[0], 1, 1e-6);
}

TEST(ExpertHistory, AnExpertThatIsAvoidedDriftsBackToTheMean) {
  ExpertHistory history{2, 10};
  for (int step = 0; step < 200; ++step) {
    history.read(0, 1, 1);
    history.read(1, 1, 0);
    history.end_step();
  }
  float const avoided = history.stats().miss[0];
  for (int step = 0; step < 2000; ++step) {
    history.read(1, 1, 0);
    history.end_step();
  }
  EXPECT_GT(avoided, 0.9);
  EXPECT_LT(history.stats().miss[0], 0.01);
}

TEST(ExpertHistory, AnEvictionFades) {
  ExpertHistory history{2, 10};
  history.evicted(1, 0.5);
  EXPECT_EQ(history.stats().flush[1], 0.5f);
  for (int step = 0; step < 10; ++step) history.end_step();
  EXPECT_NEAR(history.stats().flush[1], 0.5 * std::exp(-1.0), 1e-6);
  EXPECT_EQ(history.stats().flush[0], 0);
}

TEST(ExpertHistory, LoadsHalveTheirDistanceIn64Steps) {
  ExpertHistory history{4, 10};
  for (int step = 0; step < 64; ++step) {
    history.read(2, 7, 0);
    history.end_step();
  }
  EXPECT_NEAR(history.stats().load[2], 1 - 0.75 / 2, 1e-5);
  EXPECT_NEAR(history.stats().load[0], 0.125, 1e-5);
  EXPECT_NEAR(std::accumulate(history.stats().load.begin(), history.stats().load.end(), 0.0), 1, 1e-5);
  auto const before = history.stats().load;
  history.end_step();
  EXPECT_EQ(history.stats().load, before) << "a step without reads says nothing";
}

TEST(ExpertHistory, CompressionAndDistanceLieBetweenZeroAndOne) {
  ExpertHistory history{3, 10};
  history.compression(std::vector<float>{0, 0.05f, 0.4f}, 0.1f);
  history.distance(std::vector<float>{0, 1e-6f, 4e-6f});
  EXPECT_EQ(history.stats().compression, (std::vector<float>{0, 0.5f, 1}));
  EXPECT_EQ(history.stats().distance, (std::vector<float>{0, 0.25f, 1}));
  history.distance(std::vector<float>{0, 0, 0});
  EXPECT_EQ(history.stats().distance, (std::vector<float>{0, 0, 0}));
}

}  // namespace
}  // namespace pikv::runtime
