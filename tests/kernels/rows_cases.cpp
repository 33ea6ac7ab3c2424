#include "operations.hpp"
#include "random.hpp"

namespace pikv::kernels {
namespace {

using RowsCases = OperationCases;

constexpr std::pair<std::int32_t, std::int32_t> row_sizes[] = {{0, 8}, {1, 1}, {3, 15}, {2, 256}, {700, 257}};   // rows, n

/// Rows of `n` floats from one end or the other, some twice.
std::vector<float const*> listed(Held<float> const& in, std::int32_t count, std::int32_t n) {
  std::vector<float const*> rows;
  auto const held = static_cast<std::int32_t>(in.size()) / n;
  for (std::int32_t i = 0; i < count; ++i) rows.push_back(in.data() + static_cast<std::ptrdiff_t>(i * 7 % held) * n);
  return rows;
}

std::vector<float const*> moved(std::vector<float const*> rows, float const* from, float const* to) {
  for (float const*& row : rows) row = to + (row - from);
  return rows;
}

TEST_P(RowsCases, GatherCopiesTheListedRows) {
  for (auto const& [rows, n] : row_sizes) {
    auto const from = random_floats(5 * n, 1);
    auto const held = hold(from);
    auto const list = listed(held, rows, n);
    std::vector<float> wanted(static_cast<std::size_t>(rows) * n);
    reference::gather_rows(moved(list, held.data(), from.data()).data(), rows, n, wanted.data());
    auto const held_list = hold(list);
    Held<float> const out{on(), wanted.size()};
    on().gather_rows(held_list.data(), rows, n, out.data(), stream());
    EXPECT_EQ(out.values(), wanted);
  }
}

TEST_P(RowsCases, WeightedRowsAreAddedOneAfterTheOther) {
  for (std::int32_t const k : {1, 2, 6})
    for (auto const& [rows, n] : row_sizes) {
      auto const from = random_floats(5 * n, 1, 10), weights = random_floats(static_cast<std::size_t>(rows) * k, 2);
      auto wanted = random_floats(static_cast<std::size_t>(rows) * n, 3);
      auto const x = hold(wanted), held = hold(from), held_weights = hold(weights);
      auto const list = listed(held, rows * k, n);
      reference::add_weighted(wanted.data(), weights.data(), moved(list, held.data(), from.data()).data(), rows, k, n);
      auto const held_list = hold(list);
      on().add_weighted(x.data(), held_weights.data(), held_list.data(), rows, k, n, stream());
      EXPECT_EQ(x.values(), wanted);
    }
}

INSTANTIATE_TEST_SUITE_P(Backends, RowsCases, ::testing::ValuesIn(backends()));

}  // namespace
}  // namespace pikv::kernels
