#include "runtime/routing/certified.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <stdexcept>

#include "runtime/routing/affinity.hpp"
#include "summed_pages.hpp"

namespace pikv::runtime {
namespace {

constexpr float none = -std::numeric_limits<float>::infinity();
using Pages = std::vector<std::int32_t>;

Pages chosen_by_must_read(std::vector<float> const& upper, std::vector<float> const& lower, std::vector<float> const& read, double max_error) {
  Pages chosen;
  must_read(upper, lower, read, max_error, chosen);
  return chosen;
}

std::vector<float> logs(std::vector<float> masses) {
  for (float& mass : masses) mass = std::log(mass);
  return masses;
}

// 10 is read. Skipping .4 and 1 may be 1.4 of 11.4 = .123 of all; with 1.6 besides 3 of 13 = .231; with 3 besides 6 of 16 = .375.
TEST(MustRead, LeavesOutTheLowestBoundsWhileTheirSumIsSmallEnough) {
  std::vector<float> const upper = logs({1, 3, .4f, 1.6f});
  EXPECT_EQ(chosen_by_must_read(upper, {}, logs({10}), 0.122), (Pages{0, 1, 3}));
  EXPECT_EQ(chosen_by_must_read(upper, {}, logs({10}), 0.124), (Pages{1, 3}));
  EXPECT_EQ(chosen_by_must_read(upper, {}, logs({10}), 0.24), (Pages{1}));
  EXPECT_EQ(chosen_by_must_read(upper, {}, logs({10}), 0.38), (Pages{}));
}

TEST(MustRead, WhatItReadsCountsByItsLowerBound) {
  // Without: 2 of 12 skipped is .167. With 10 more that are certain: 2 of 22 is .091.
  EXPECT_EQ(chosen_by_must_read(logs({2, 30}), {}, logs({10}), 0.1), (Pages{0, 1}));
  EXPECT_EQ(chosen_by_must_read(logs({2, 30}), logs({1, 10}), logs({10}), 0.1), (Pages{1}));
}

TEST(MustRead, EveryHeadIsAskedOfItsOwn) {
  std::vector<float> const upper = logs({5, .01f, .01f, 5, .01f, .01f});   // [3 pages][2 heads]
  EXPECT_EQ(chosen_by_must_read(upper, {}, logs({10, 10}), 0.1), (Pages{0, 1}));
}

TEST(MustRead, NoErrorMeansThatEverythingIsReadThatMayHoldMass) { EXPECT_EQ(chosen_by_must_read({-80, none, 3}, {}, {0}, 0), (Pages{0, 2})); }

TEST(MustRead, NothingReadMeansThatAllIsReadUnlessLowerBoundsSayMore) {
  EXPECT_EQ(chosen_by_must_read({0, 1, 2}, {}, {none}, 0.5), (Pages{0, 1, 2}));
  EXPECT_EQ(chosen_by_must_read({0, 9, 2}, {-5, 9, -5}, {none}, 0.1), (Pages{1}));
}

TEST(MustRead, AnErrorOfOneNeedsNoPage) { EXPECT_EQ(chosen_by_must_read({50, 60}, {}, {none}, 2), (Pages{})); }

TEST(MustRead, BoundsFarBeyondTheRangeOfExpAreNoTrouble) {
  EXPECT_EQ(chosen_by_must_read({2000, -2000, 999.5f}, {}, {1000}, 0.3), (Pages{0, 2}));
  EXPECT_EQ(chosen_by_must_read({-1500, 2000}, {-1600, 1990}, {-1000}, 0.3), (Pages{1}));
}

// Subtracting the large bounds from the sum of all would lose the small ones, which are what counts.
TEST(MustRead, LooseBoundsOfSomePagesDoNotHideTheMassOfOthers) {
  std::vector<float> upper{60};
  for (int page = 0; page < 100; ++page) upper.push_back(-3);   // 100 e^-3 = 4.98 against 1 that is read
  Pages const chosen = chosen_by_must_read(upper, {}, {0}, 0.1);
  EXPECT_EQ(std::ssize(chosen), 1 + 98);   // two are 2 e^-3 = .0996 <= .1 / .9
}

TEST(MustRead, RefusesWhatIsNoNumber) {
  float const nan = std::nanf("");
  EXPECT_THROW(chosen_by_must_read({nan}, {}, {0}, 0.1), std::logic_error);
  EXPECT_THROW(chosen_by_must_read({0}, {nan}, {0}, 0.1), std::logic_error);
  EXPECT_THROW(chosen_by_must_read({0}, {}, {nan}, 0.1), std::logic_error);
  EXPECT_THROW(chosen_by_must_read({0}, {}, {0}, std::nan("")), std::logic_error);
  EXPECT_THROW(chosen_by_must_read({0}, {}, {0}, -0.1), std::logic_error);
}

TEST(MustRead, OfOneHeadNoSmallerSetIsEnough) {
  std::mt19937 bits{5};
  std::normal_distribution<float> normal{0, 2};
  for (int trial = 0; trial < 1000; ++trial) {
    std::vector<float> upper(8);
    for (float& mass : upper) mass = normal(bits);
    double const max_error = 0.01 * static_cast<double>(1 + bits() % 40);
    Pages const chosen = chosen_by_must_read(upper, {}, {1}, max_error);
    int fewest = 8;
    for (unsigned set = 0; set < 256; ++set) {
      double skipped = 0;
      for (std::size_t page = 0; page < 8; ++page) skipped += set >> page & 1 ? 0 : std::exp(double{upper[page]});
      double const share = skipped / (skipped + std::exp(1.0));
      ASSERT_GT(std::abs(share - max_error), max_error * 1e-5) << "a draw too close to call";
      if (share <= max_error * (1 - 1e-3)) fewest = std::min(fewest, std::popcount(set));
    }
    ASSERT_EQ(std::ssize(chosen), fewest);
  }
}

TEST(FirstGuess, ReadsNoPageThatASetByFallingBoundsCouldLeaveOut) {
  std::mt19937 bits{6};
  for (int trial = 0; trial < 300; ++trial) {
    SummedPages const pages{1, 8, 8, 12, 0.2, bits};
    auto const q = random_query(8, 2, bits);
    std::vector<float> low(12), high(12);
    low_masses(pages.view(), pages.all(), q, low);
    high_masses(pages.view(), pages.all(), q, high);
    Pages guess, all;
    first_guess(high, std::vector<float>{none}, 0.05, guess);
    must_read(high, low, std::vector<float>{none}, 0.05, all);
    ASSERT_GE(guess.size(), 1u);
    ASSERT_TRUE(std::ranges::includes(all, guess));
  }
}

/// One query of one table, decided in two rounds, against its exact softmax in fp64.
struct Certified {
  SummedPages const& pages;
  std::vector<float> const& q;
  std::size_t heads;
  std::vector<char> is_read = std::vector<char>(pages.tokens.size());

  void decide(double max_error) {
    auto const listed = pages.all();
    std::vector<float> low(listed.size() * heads), high(low.size());
    low_masses(pages.view(), listed, q, low);
    high_masses(pages.view(), listed, q, high);
    Pages chosen;
    first_guess(high, std::vector<float>(heads, none), max_error, chosen);
    for (std::int32_t const page : chosen) is_read[static_cast<std::size_t>(page)] = 1;

    std::vector<float> upper, lower, read;
    Pages unread;
    for (std::size_t page = 0; page < listed.size(); ++page) {
      if (is_read[page]) continue;
      unread.push_back(static_cast<std::int32_t>(page));
      for (std::size_t h = 0; h < heads; ++h) upper.push_back(high[page * heads + h]), lower.push_back(low[page * heads + h]);
    }
    for (std::size_t h = 0; h < heads; ++h) read.push_back(static_cast<float>(std::log(mass(h, 1))));
    must_read(upper, lower, read, max_error, chosen);
    for (std::int32_t const index : chosen) is_read[static_cast<std::size_t>(unread[static_cast<std::size_t>(index)])] = 1;
  }
  float const* query(std::size_t head) const { return q.data() + head * static_cast<std::size_t>(pages.head_dim); }
  std::int32_t kv_head(std::size_t head) const { return static_cast<std::int32_t>(head / (heads / static_cast<std::size_t>(pages.kv_heads))); }
  /// Mass of the pages that are read (1) or not (0).
  double mass(std::size_t head, char which) const {
    double sum = 0;
    for (std::size_t page = 0; page < is_read.size(); ++page)
      if (is_read[page] == which) sum += std::exp(pages.log_mass(static_cast<std::int32_t>(page), kv_head(head), query(head)));
    return sum;
  }
  double skipped(std::size_t head) const { return mass(head, 0) / (mass(head, 0) + mass(head, 1)); }
  /// |o - o'| for values of one channel that are 1 where a page is read and -1 where it is not: the worst case of |v| = 1.
  double output_error(std::size_t head) const {
    double const o = (mass(head, 1) - mass(head, 0)) / (mass(head, 1) + mass(head, 0));
    return std::abs(o - 1);
  }
};

TEST(CertifiedAttention, NeverSkipsMoreThanItMayInAHundredThousandQueries) {
  int const tables = std::getenv("PIKV_SMALL_TESTS") ? 200 : 2000;
  constexpr int queries = 60;
  std::mt19937 bits{7};
  double const errors[] = {0, 1e-4, 1e-3, 0.01, 0.05, 0.3};
  double const withins[] = {0.02, 0.1, 0.3, 1};
  std::size_t seen = 0, skipped_pages = 0, wrong = 0;
  double closest = 0;
  for (int table = 0; table < tables; ++table) {
    auto const heads = static_cast<std::size_t>(2 * (1 + table % 2));
    SummedPages const pages{1 + table % 2, 4, 8, 5 + table % 9, withins[table % 4], bits};
    double const max_error = errors[static_cast<std::size_t>(table) / 4 % 6];
    for (int n = 0; n < queries; ++n) {
      auto const q = random_query(heads * 8, static_cast<float>(1 + n % 6), bits);
      Certified certified{pages, q, heads};
      certified.decide(max_error);
      ++seen;
      skipped_pages += static_cast<std::size_t>(std::ranges::count(certified.is_read, 0));
      for (std::size_t h = 0; h < heads; ++h) {
        double const skipped = certified.skipped(h);
        wrong += skipped > max_error || certified.output_error(h) > 2 * max_error + 1e-12;
        if (max_error > 0) closest = std::max(closest, skipped / max_error);
      }
    }
  }
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(seen, static_cast<std::size_t>(tables * queries));
  EXPECT_GT(skipped_pages, seen) << "hardly a page was skipped: nothing was tested";
  EXPECT_GT(closest, 0.3) << "nothing came near what is allowed";
}

TEST(CertifiedRecall, IsNeverAboveTheTrueOne) {
  std::mt19937 bits{8};
  double sum = 0;
  constexpr int trials = 2000;
  for (int trial = 0; trial < trials; ++trial) {
    SummedPages const pages{1, 8, 16, 10, trial % 2 ? 0.05 : 0.5, bits};
    auto const q = random_query(2 * 16, 2, bits);
    std::vector<float> high(10 * 2), read, unread, recall(2);
    high_masses(pages.view(), pages.all(), q, high);
    Certified certified{pages, q, 2};
    for (std::size_t page = 0; page < 10; ++page) certified.is_read[page] = bits() % 2;
    for (std::size_t page = 0; page < 10; ++page)
      if (!certified.is_read[page]) unread.insert(unread.end(), {high[page * 2], high[page * 2 + 1]});
    for (std::size_t h = 0; h < 2; ++h) read.push_back(static_cast<float>(std::log(certified.mass(h, 1))));
    certified_recall(read, unread, recall);
    for (std::size_t h = 0; h < 2; ++h) {
      ASSERT_LE(recall[h], 1 - certified.skipped(h));
      ASSERT_GE(recall[h], 0);
      sum += recall[h] / (1 - certified.skipped(h) + 1e-9) / (2 * trials);
    }
  }
  EXPECT_GT(sum, 0.3) << "a bound that says nothing";
}

TEST(CertifiedRecall, IsOneWhereNothingIsUnreadAndNothingWhereNothingIsRead) {
  std::vector<float> recall(1);
  certified_recall(std::vector<float>{3}, {}, recall);
  EXPECT_EQ(recall[0], 1);
  certified_recall(std::vector<float>{none}, std::vector<float>{2}, recall);
  EXPECT_EQ(recall[0], 0);
  certified_recall(logs({3}), logs({1}), recall);
  EXPECT_NEAR(recall[0], .75, 1e-3);
}

}  // namespace
}  // namespace pikv::runtime
