#include "runtime/scheduling/redundancy.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>

#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {
namespace {

/// The rule of methods 4.12 said once more, from scratch at every eviction, over all pages.
std::vector<Block> brute_force(std::vector<float> const& u, std::vector<std::vector<float>> const& keys, double gamma, std::size_t quota) {
  auto const cosine = [&](std::size_t a, std::size_t b) {
    double dot = 0, aa = 0, bb = 0;
    for (std::size_t c = 0; c < keys[a].size(); ++c) {
      dot += double{keys[a][c]} * keys[b][c];
      aa += double{keys[a][c]} * keys[a][c];
      bb += double{keys[b][c]} * keys[b][c];
    }
    return dot / std::sqrt(aa * bb);
  };
  std::vector<bool> gone(u.size(), false);
  std::vector<Block> going;
  while (going.size() < quota) {
    std::size_t lowest = u.size();
    double score = 2;
    for (std::size_t i = 0; i < u.size(); ++i) {
      if (gone[i]) continue;
      double likeness = 0;
      for (std::size_t j = 0; j < u.size(); ++j)
        if (j != i && !gone[j]) likeness = std::max(likeness, cosine(i, j));
      if (double const worth = u[i] * (1 - gamma * likeness); worth < score) {
        lowest = i;
        score = worth;
      }
    }
    gone[lowest] = true;
    going.push_back(static_cast<Block>(lowest));
  }
  return going;
}

std::vector<Candidate> ascending(std::vector<float> const& u) {
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < u.size(); ++i) candidates.push_back({u[i], static_cast<Block>(i), 1});
  std::stable_sort(candidates.begin(), candidates.end(), [](Candidate const& a, Candidate const& b) { return a.utility < b.utility; });
  return candidates;
}

TEST(Redundancy, SparesTheUniquePageOfTheExample) {
  auto const summaries = summaries_of({{1, 0}, {2, 0}, {0, 1}});
  EXPECT_EQ(choose_redundant(ascending({.3f, .3f, .2f}), {}, summaries, .5, 1), (std::vector<Block>{0}));
  EXPECT_EQ(choose_redundant(ascending({.3f, .3f, .2f}), {}, summaries, 0, 1), (std::vector<Block>{2}));
}

TEST(Redundancy, OfTwoTwinsOneGoesAndTheOtherCountsAsUnique) {
  auto const summaries = summaries_of({{1, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}});
  std::vector<float> const u{.3f, .3f, .2f, .25f};
  EXPECT_EQ(choose_redundant(ascending(u), {}, summaries, .5, 3), (std::vector<Block>{0, 2, 3}));
}

TEST(Redundancy, ComparesWithPagesThatStayToo) {
  auto const summaries = summaries_of({{1, 0}, {0, 1}, {1, 0}});
  std::vector<Block> const pinned{2};
  auto const candidates = ascending({.3f, .2f});
  EXPECT_EQ(choose_redundant(candidates, pinned, summaries, .5, 1), (std::vector<Block>{0}));
  EXPECT_EQ(choose_redundant(candidates, {}, summaries, .5, 1), (std::vector<Block>{1}));
}

TEST(Redundancy, TakesOppositeKeysAndPagesWithoutASummaryForUnlike) {
  auto const summaries = summaries_of({{1, 0}, {-1, 0}, {0, 0}});
  std::vector<float> const u{.2f, .3f, .25f, .1f};   // page 3 has none
  EXPECT_EQ(choose_redundant(ascending(u), {}, summaries, .9, 4), (std::vector<Block>{3, 0, 2, 1}));
}

TEST(Redundancy, OneBatchIsAsManySingleEvictions) {
  std::mt19937 random{3};
  std::normal_distribution<float> normal;
  for (int round = 0; round < 100; ++round) {
    std::size_t const n = 2 + random() % 14;
    std::vector<std::vector<float>> keys(n, std::vector<float>(3));
    std::vector<float> u(n);
    for (auto& key : keys) key = {normal(random) + 1, normal(random), normal(random)};
    for (float& x : u) x = static_cast<float>(random() % 1000) / 1000;
    for (std::size_t quota = 0; quota <= n; ++quota) {
      auto const going = choose_redundant(ascending(u), {}, summaries_of(keys), .5, static_cast<std::int64_t>(quota));
      auto const expected = brute_force(u, keys, .5, quota);
      ASSERT_EQ(std::set(going.begin(), going.end()), std::set(expected.begin(), expected.end()));
    }
  }
}

TEST(Redundancy, DoesNotDependOnTheNumbersOfPages) {
  std::mt19937 random{9};
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> keys(12, std::vector<float>(4));
  std::vector<float> u(12);
  for (auto& key : keys)
    for (float& x : key) x = normal(random);
  for (float& x : u) x = std::uniform_real_distribution<float>{}(random);
  auto const plain = choose_redundant(ascending(u), {}, summaries_of(keys), .5, 5);

  std::vector<std::size_t> renamed(12);   // page i is called renamed[i]
  std::iota(renamed.begin(), renamed.end(), std::size_t{0});
  std::shuffle(renamed.begin(), renamed.end(), random);
  std::vector<std::vector<float>> other_keys(12);
  std::vector<float> other_u(12);
  for (std::size_t i = 0; i < 12; ++i) {
    other_keys[renamed[i]] = keys[i];
    other_u[renamed[i]] = u[i];
  }
  auto const other = choose_redundant(ascending(other_u), {}, summaries_of(other_keys), .5, 5);
  ASSERT_EQ(plain.size(), 5u);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(other[i], static_cast<Block>(renamed[static_cast<std::size_t>(plain[i])]));
}

}   // namespace
}   // namespace pikv::test
