#include "runtime/routing/affinity.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "summed_pages.hpp"

namespace pikv::runtime {
namespace {

constexpr float none = -std::numeric_limits<float>::infinity();

TEST(Affinity, TheTrueMassLiesBetweenLowAndHigh) {
  std::mt19937 bits{1};
  for (double const within : {0.0, 0.3, 2.0}) {
    SummedPages const pages{2, 16, 24, 9, within, bits};
    auto const listed = pages.all();
    std::vector<float> low(listed.size() * 6), high(low.size());
    for (int trial = 0; trial < 50; ++trial) {
      auto const q = random_query(6 * 24, 2, bits);
      low_masses(pages.view(), listed, q, low);
      high_masses(pages.view(), listed, q, high);
      for (std::size_t page = 0; page < listed.size(); ++page) {
        for (std::size_t head = 0; head < 6; ++head) {
          double const exact = pages.log_mass(listed[page], static_cast<std::int32_t>(head / 3), q.data() + head * 24);
          ASSERT_LE(low[page * 6 + head], exact + 1e-4);
          ASSERT_GE(high[page * 6 + head], exact - 1e-4);
          if (within == 0) {
            ASSERT_NEAR(low[page * 6 + head], exact, 1e-4) << "equal keys: Jensen is exact";
          }
        }
      }
    }
  }
}

TEST(Affinity, OnePageOfOneKeyIsExactUpToTheRoundingOfItsBox) {
  std::mt19937 bits{2};
  SummedPages const pages{1, 1, 8, 1, 1, bits};
  auto const q = random_query(8, 1, bits);
  float low = 0, high = 0;
  low_masses(pages.view(), pages.all(), q, {&low, 1});
  high_masses(pages.view(), pages.all(), q, {&high, 1});
  double const exact = pages.log_mass(0, 0, q.data());
  EXPECT_NEAR(low, exact, 1e-5);
  EXPECT_NEAR(high, exact, 0.02);
}

// A box that holds another never has a lower bound than it: what branch and bound over boxes of boxes leans on.
TEST(Affinity, TheBoundOfABoxAroundBoxesIsNoLowerThanTheirs) {
  std::mt19937 bits{3};
  SummedPages const pages{1, 8, 16, 6, 1, bits};
  auto const view = pages.view();
  std::vector<std::uint16_t> lo(view.lo, view.lo + 16), hi(view.hi, view.hi + 16);
  for (std::size_t i = 0; i < 6 * 16; ++i) {
    if (kernels::from_bf16(view.lo[i]) < kernels::from_bf16(lo[i % 16])) lo[i % 16] = view.lo[i];
    if (kernels::from_bf16(view.hi[i]) > kernels::from_bf16(hi[i % 16])) hi[i % 16] = view.hi[i];
  }
  std::int32_t const one = 1, first = 0;
  kernels::SummaryView const parent{lo.data(), hi.data(), nullptr, &one, 1, 16};
  for (int trial = 0; trial < 200; ++trial) {
    auto const q = random_query(16, 1, bits);
    std::vector<float> children(6);
    float bound = 0;
    kernels::host::upper_bounds(view, pages.all(), q.data(), 1, children.data());
    kernels::host::upper_bounds(parent, {&first, 1}, q.data(), 1, &bound);
    for (float const child : children) ASSERT_GE(bound, child - 1e-5);
  }
}

TEST(Affinity, AnExpertHoldsTheSumOfItsPages) {
  // Blocks 0, 2 and 5 are listed; experts 1, 0 and 1; two heads.
  std::vector<shards::Block> const listed{0, 2, 5};
  std::vector<shards::KvExpert> const expert_of{1, 9, 0, 9, 9, 1};
  std::vector<float> const masses{std::log(3.0f), std::log(.5f), std::log(2.0f), none, std::log(4.0f), std::log(.25f)};
  std::vector<float> out(3 * 2);
  expert_masses(masses, listed, expert_of, 2, out);
  EXPECT_NEAR(out[0], std::log(2), 1e-6);
  EXPECT_EQ(out[1], none);
  EXPECT_NEAR(out[2], std::log(7), 1e-6);
  EXPECT_NEAR(out[3], std::log(.75), 1e-6);
  EXPECT_EQ(out[4], none) << "holds no page";
  EXPECT_EQ(out[5], none);
}

TEST(Affinity, MassesBeyondTheRangeOfExpAreSummed) {
  std::vector<shards::Block> const listed{0, 1};
  std::vector<shards::KvExpert> const expert_of{0, 0};
  std::vector<float> out(1);
  for (float const offset : {-500.0f, 500.0f}) {
    expert_masses(std::vector<float>{offset, offset}, listed, expert_of, 1, out);
    EXPECT_NEAR(out[0], offset + std::log(2.0f), 1e-4);
  }
}

TEST(Affinity, IsTheMeanShareOverHeadsWhateverTheScaleOfTheirLogits) {
  // Head 0: shares .75, .25, 0; head 1: .1, .8, .1; head 2 has no mass anywhere.
  std::vector<float> const masses{std::log(3.0f), 100 + std::log(.1f), none, std::log(1.0f), 100 + std::log(.8f), none,
                                  none,           100 + std::log(.1f), none};
  std::vector<float> z(3);
  affinity(masses, 3, z);
  EXPECT_NEAR(z[0], std::log(.85 / 3), 1e-5);
  EXPECT_NEAR(z[1], std::log(1.05 / 3), 1e-5);
  EXPECT_NEAR(z[2], std::log(.1 / 3), 1e-5);
}

TEST(Affinity, AShareTooSmallForExpIsStillAShare) {
  std::vector<float> z(3);
  affinity(std::vector<float>{0, -300, -400}, 1, z);
  EXPECT_NEAR(z[1], -300, 1e-4);
  EXPECT_NEAR(z[2], -400, 1e-4);
}

TEST(Affinity, OfExpertsWithoutAnyPageIsNothing) {
  std::vector<float> z(2);
  affinity(std::vector<float>(4, none), 2, z);
  EXPECT_EQ(z, (std::vector<float>{none, none}));
}

TEST(Affinity, FindsTheExpertsThatHoldTheMostWherePagesAreNarrow) {
  std::mt19937 bits{4};
  SummedPages const pages{1, 16, 32, 64, 0.3, bits};
  std::vector<shards::KvExpert> expert_of;
  for (int block = 0; block < 64; ++block) expert_of.push_back(block % 16);
  int found = 0;
  constexpr int queries = 200;
  for (int trial = 0; trial < queries; ++trial) {
    auto const q = random_query(32, 2, bits);
    std::vector<float> low(64), masses(16), z(16);
    low_masses(pages.view(), pages.all(), q, low);
    expert_masses(low, pages.all(), expert_of, 1, masses);
    affinity(masses, 1, z);
    std::vector<double> exact(16);
    for (int block = 0; block < 64; ++block) exact[static_cast<std::size_t>(block % 16)] += std::exp(pages.log_mass(block, 0, q.data()));
    found += std::ranges::max_element(z) - z.begin() == std::ranges::max_element(exact) - exact.begin();
  }
  EXPECT_GT(found, queries * 9 / 10);   // by chance: 1 in 16
}

}  // namespace
}  // namespace pikv::runtime
