#include "comm/assignment.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

namespace pikv::comm::test {
namespace {

using Costs = std::vector<std::vector<std::int64_t>>;

std::int64_t sum_of(Costs const& costs, std::vector<int> const& chosen) {
  std::int64_t sum = 0;
  for (std::size_t row = 0; row < costs.size(); ++row) sum += costs[row][static_cast<std::size_t>(chosen[row])];
  return sum;
}

std::int64_t least_of_all(Costs const& costs) {
  std::vector<int> order(costs[0].size());
  std::iota(order.begin(), order.end(), 0);
  std::int64_t least = sum_of(costs, order);
  while (std::ranges::next_permutation(order).found) least = std::min(least, sum_of(costs, order));
  return least;
}

TEST(Assignment, OfNothingIsNothing) { EXPECT_TRUE(assign({}).empty()); }

TEST(Assignment, CostsNoMoreThanAnyOther) {
  std::mt19937 random{1};
  for (std::size_t rows = 1; rows <= 5; ++rows)
    for (std::size_t columns = rows; columns <= 6; ++columns)
      for (int again = 0; again < 20; ++again) {
        Costs costs(rows, std::vector<std::int64_t>(columns));
        for (auto& row : costs)
          for (auto& cost : row) cost = again % 2 == 0 ? random() % 4 : random();   // with ties, and without
        auto const chosen = assign(costs);
        ASSERT_EQ(std::set<int>(chosen.begin(), chosen.end()).size(), rows) << "a column each";
        EXPECT_EQ(sum_of(costs, chosen), least_of_all(costs));
      }
}

}  // namespace
}  // namespace pikv::comm::test
