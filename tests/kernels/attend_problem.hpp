#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/attend.hpp"
#include "kernels/merge.hpp"
#include "random.hpp"

namespace pikv::kernels {

/// One group: its rows, the filled tokens of each of its pages (positions go on from page to page), and the position of its first row;
/// the others follow one by one.
struct GroupShape {
  std::int32_t rows;
  std::vector<std::int32_t> pages;
  std::int32_t first_row_position = std::numeric_limits<std::int32_t>::max() / 2;
};

/// Owns what a call of attend reads. Places of a page that hold no token are NaN, so that reading one shows.
struct Problem {
  PageLayout layout;
  std::int32_t q_heads;
  float scale;
  std::vector<std::byte> memory;
  std::vector<float> q;
  std::vector<std::int32_t> row_offsets, page_offsets, slots, first_position, tokens, row_position;

  std::size_t slot_bytes() const { return (layout.bytes() + 4095) / 4096 * 4096; }
  PoolView pool() { return {memory.data(), slot_bytes(), layout}; }
  AttendPlan plan() const {
    return {static_cast<std::int32_t>(row_offsets.size()) - 1,
            row_offsets.data(),
            page_offsets.data(),
            slots.data(),
            first_position.data(),
            tokens.data(),
            row_position.data(),
            {}};
  }
  std::size_t rows() const { return row_position.size(); }
  std::size_t lse_count() const {
    std::size_t count = 0;
    for (std::size_t g = 0; g + 1 < row_offsets.size(); ++g)
      count += static_cast<std::size_t>(row_offsets[g + 1] - row_offsets[g]) * (page_offsets[g + 1] - page_offsets[g]) * q_heads;
    return count;
  }
};

inline Problem make_problem(PageLayout layout, std::int32_t q_heads, std::vector<GroupShape> const& groups, float logit_spread = 1) {
  Problem problem{layout, q_heads, 1 / std::sqrt(static_cast<float>(layout.head_dim)), {}, {}, {0}, {0}, {}, {}, {}, {}};
  auto const d = static_cast<std::size_t>(layout.head_dim);
  for (GroupShape const& group : groups) {
    std::int32_t position = 0;
    for (std::int32_t tokens : group.pages) {
      problem.first_position.push_back(position);
      problem.tokens.push_back(tokens);
      position += tokens;
    }
    for (std::int32_t row = 0; row < group.rows; ++row) problem.row_position.push_back(group.first_row_position + row);
    problem.row_offsets.push_back(static_cast<std::int32_t>(problem.row_position.size()));
    problem.page_offsets.push_back(static_cast<std::int32_t>(problem.tokens.size()));
  }
  problem.slots.resize(problem.tokens.size());
  std::iota(problem.slots.begin(), problem.slots.end(), 1);
  std::shuffle(problem.slots.begin(), problem.slots.end(), std::mt19937{7});
  problem.memory.assign((problem.slots.size() + 2) * problem.slot_bytes(), std::byte{0xFF});
  PoolView const pool = problem.pool();
  for (std::size_t page = 0; page < problem.slots.size(); ++page) {
    std::size_t const scalars = static_cast<std::size_t>(problem.tokens[page]) * d;
    for (std::int32_t head = 0; head < layout.kv_heads; ++head) {
      auto const seed = static_cast<std::uint32_t>(problem.first_position[page] * 64 + head);
      auto const keys = random_stored(layout.dtype, scalars, 2 * seed), values = random_stored(layout.dtype, scalars, 2 * seed + 1);
      std::size_t const at = head * layout.head_scalars() * size_of(layout.dtype);
      std::copy(keys.begin(), keys.end(), pool.keys(problem.slots[page]) + at);
      std::copy(values.begin(), values.end(), pool.values(problem.slots[page]) + at);
    }
  }
  problem.q = random_floats(problem.rows() * q_heads * d, 1, logit_spread);
  return problem;
}

/// A partial that owns its numbers.
struct Partial {
  std::vector<float> sum, max, denom;

  Partial(std::size_t rows, std::size_t heads, std::size_t d) : sum(rows * heads * d), max(rows * heads, empty_max), denom(rows * heads) {}
  PartialView view() { return {sum.data(), max.data(), denom.data()}; }
  friend bool operator==(Partial const&, Partial const&) = default;
};

/// Of the shape of the problem's result, which must overwrite it.
inline Partial unwritten_partial(Problem const& problem) {
  Partial out{problem.rows(), static_cast<std::size_t>(problem.q_heads), static_cast<std::size_t>(problem.layout.head_dim)};
  for (auto* values : {&out.sum, &out.max, &out.denom}) std::fill(values->begin(), values->end(), std::numeric_limits<float>::quiet_NaN());
  return out;
}

inline Partial attend_on_host(Problem& problem, std::vector<float>* page_lse = nullptr) {
  Partial out = unwritten_partial(problem);
  if (page_lse) page_lse->assign(problem.lse_count(), std::numeric_limits<float>::quiet_NaN());
  Stream stream;
  host::attend(problem.pool(), problem.plan(), problem.q.data(), problem.q_heads, problem.scale, out.view(), page_lse ? page_lse->data() : nullptr,
               stream);
  return out;
}

inline Partial attend_by_reference(Problem& problem, std::vector<float>* page_lse = nullptr) {
  Partial out{problem.rows(), static_cast<std::size_t>(problem.q_heads), static_cast<std::size_t>(problem.layout.head_dim)};
  if (page_lse) page_lse->assign(problem.lse_count(), 0);
  reference::attend(problem.pool(), problem.plan(), problem.q.data(), problem.q_heads, problem.scale, out.view(),
                    page_lse ? page_lse->data() : nullptr);
  return out;
}

inline std::vector<float> finished(Partial& partial, std::int32_t d) {
  std::vector<float> out(partial.sum.size());
  Stream stream;
  host::finish(partial.view(), out.data(), static_cast<std::int32_t>(partial.max.size()), 1, d, stream);
  return out;
}

/// Exact attention in fp64, one pass over the keys a row may see: [rows][q_heads][head_dim], 0 where there are none.
inline std::vector<double> dense_attention(Problem& problem) {
  PageLayout const& layout = problem.layout;
  PoolView const pool = problem.pool();
  auto const d = static_cast<std::size_t>(layout.head_dim);
  std::vector<double> out(problem.q.size(), 0.0);
  for (std::size_t g = 0; g + 1 < problem.row_offsets.size(); ++g) {
    for (std::size_t at = static_cast<std::size_t>(problem.row_offsets[g]) * problem.q_heads;
         at < static_cast<std::size_t>(problem.row_offsets[g + 1]) * problem.q_heads; ++at) {
      std::size_t const head = at % problem.q_heads / (problem.q_heads / layout.kv_heads);
      std::vector<double> logits;
      std::vector<std::pair<std::int32_t, std::size_t>> places;
      for (std::int32_t page = problem.page_offsets[g]; page < problem.page_offsets[g + 1]; ++page) {
        for (std::int32_t t = 0; t < problem.tokens[page] && problem.first_position[page] + t <= problem.row_position[at / problem.q_heads]; ++t) {
          std::size_t const place = head * layout.head_scalars() + t * d;
          double dot = 0;
          for (std::size_t i = 0; i < d; ++i)
            dot += double{problem.q[at * d + i]} * load_scalar(layout.dtype, pool.keys(problem.slots[page]), place + i);
          logits.push_back(dot * double{problem.scale});
          places.emplace_back(problem.slots[page], place);
        }
      }
      if (logits.empty()) continue;
      double const top = *std::max_element(logits.begin(), logits.end());
      double denom = 0;
      for (double logit : logits) denom += std::exp(logit - top);
      for (std::size_t n = 0; n < logits.size(); ++n)
        for (std::size_t i = 0; i < d; ++i)
          out[at * d + i] += std::exp(logits[n] - top) / denom * load_scalar(layout.dtype, pool.values(places[n].first), places[n].second + i);
    }
  }
  return out;
}

}  // namespace pikv::kernels
