#include "comm/assignment.hpp"

#include <algorithm>
#include <limits>

namespace pikv::comm {

// The Hungarian method: prices of rows and columns under which no pair is cheaper than nothing and the chosen ones cost nothing. Each row in turn is
// brought in along the cheapest path of rows that move on to another column (Dijkstra's). Row and column 0 are nobody's.
std::vector<int> assign(std::span<std::vector<std::int64_t> const> costs) {
  constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max() / 4;
  std::size_t const rows = costs.size(), columns = rows == 0 ? 0 : costs[0].size();
  std::vector<std::int64_t> row_price(rows + 1), column_price(columns + 1);
  std::vector<std::size_t> row_of(columns + 1);   // 0: the column is free
  for (std::size_t row = 1; row <= rows; ++row) {
    std::vector<std::int64_t> distance(columns + 1, never);
    std::vector<std::size_t> before(columns + 1);
    std::vector<bool> seen(columns + 1);
    std::size_t at = 0;
    row_of[0] = row;
    while (row_of[at] != 0) {
      seen[at] = true;
      std::size_t const from = row_of[at];
      std::size_t nearest = 0;
      for (std::size_t column = 1; column <= columns; ++column) {
        if (seen[column]) continue;
        std::int64_t const step = costs[from - 1][column - 1] - row_price[from] - column_price[column];
        if (step < distance[column]) {
          distance[column] = step;
          before[column] = at;
        }
        if (nearest == 0 || distance[column] < distance[nearest]) nearest = column;
      }
      std::int64_t const shift = distance[nearest];
      for (std::size_t column = 0; column <= columns; ++column) {
        if (seen[column]) {
          row_price[row_of[column]] += shift;
          column_price[column] -= shift;
        } else if (column > 0) {
          distance[column] -= shift;
        }
      }
      at = nearest;
    }
    for (; at != 0; at = before[at]) row_of[at] = row_of[before[at]];
  }
  std::vector<int> chosen(rows);
  for (std::size_t column = 1; column <= columns; ++column)
    if (row_of[column] != 0) chosen[row_of[column] - 1] = static_cast<int>(column - 1);
  return chosen;
}

}  // namespace pikv::comm
