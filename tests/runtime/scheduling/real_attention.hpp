#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/scheduling/schedulers.hpp"
#include "tests/runtime/reference_data.hpp"
#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {

/// Exact attention of one layer of a real model, computed in fp64 from its queries and keys (tests/data/kvpress): 9 query heads, 3 KV heads.
class RealAttention {
 public:
  static constexpr std::int32_t q_heads = 9, kv_heads = 3, group = 3, head_dim = 64;

  RealAttention(ReferenceData const& data, std::string const& stem)
      : tokens{static_cast<std::int32_t>(data.shape(stem + ".k")[1])},
        queries{static_cast<std::int32_t>(data.shape(stem + ".q")[1])},
        share_(static_cast<std::size_t>(q_heads) * static_cast<std::size_t>(queries) * static_cast<std::size_t>(tokens)) {
    auto const q = data.floats(stem + ".q"), k = data.floats(stem + ".k");
    for (std::int32_t head = 0; head < q_heads; ++head)
      for (std::int32_t query = tokens - queries; query < tokens; ++query) {
        double sum = 0;
        for (std::int32_t key = 0; key <= query; ++key) {
          double dot = 0;
          for (std::size_t c = 0; c < head_dim; ++c)
            dot += double{q[static_cast<std::size_t>(head * queries + query - (tokens - queries)) * head_dim + c]} *
                   k[static_cast<std::size_t>(head / group * tokens + key) * head_dim + c];
          sum += share_[index(head, query, key)] = std::exp(dot / 8);
        }
        for (std::int32_t key = 0; key <= query; ++key) share_[index(head, query, key)] /= sum;
      }
  }

  /// Of the attention of `query` (tokens - queries or later) that falls on `key`.
  double share(std::int32_t head, std::int32_t query, std::int32_t key) const { return share_[index(head, query, key)]; }
  double share_of_page(std::int32_t head, std::int32_t query, Block page, std::int32_t page_tokens) const {
    double sum = 0;
    for (std::int32_t key = page * page_tokens; key < std::min(tokens, (page + 1) * page_tokens); ++key) sum += share(head, query, key);
    return sum;
  }

  LayerShape shape(bool by_head, std::int32_t page_tokens) const {
    std::int32_t const tables = by_head ? kv_heads : 1;
    return {.layer = 2,
            .layers = 30,
            .tables = tables,
            .kv_heads = kv_heads / tables,
            .q_heads = q_heads / tables,
            .head_dim = head_dim,
            .page_tokens = page_tokens};
  }

  /// Tells a scheduler of all queries there are, in chunks of rows, as a prompt.
  void play(Scheduler& scheduler, LayerShape const& shape) const {
    scheduler.begin(tokens);
    for (std::int32_t from = tokens - queries; from < tokens; from += 24) {
      std::int32_t const to = std::min(tokens, from + 24);
      auto const pages = blocks(shards::blocks_for(to, shape.page_tokens));
      for (std::int32_t table = 0; table < shape.tables; ++table) {
        std::vector<float> mass;
        for (Block const page : pages)
          for (std::int32_t row = from; row < to; ++row)
            for (std::int32_t head = 0; head < shape.q_heads; ++head)
              mass.push_back(static_cast<float>(share_of_page(table * shape.q_heads + head, row, page, shape.page_tokens)));
        scheduler.read({.table = table, .first_position = from, .rows = to - from, .pages = pages, .mass = mass});
      }
      scheduler.tick();
    }
  }

  std::int32_t const tokens, queries;

 private:
  std::size_t index(std::int32_t head, std::int32_t query, std::int32_t key) const {
    return (static_cast<std::size_t>(head) * static_cast<std::size_t>(queries) + static_cast<std::size_t>(query - (tokens - queries))) *
               static_cast<std::size_t>(tokens) +
           static_cast<std::size_t>(key);
  }

  std::vector<double> share_;   // [q_heads][queries][tokens]
};

}   // namespace pikv::test
