// What stays with pages of several tokens, against the methods' own words worked out over all tokens of a real model's attention.

#include <gtest/gtest.h>

#include <tuple>

#include "runtime/scheduling/adakv.hpp"
#include "runtime/scheduling/chunk_select.hpp"
#include "runtime/scheduling/fastv.hpp"
#include "runtime/scheduling/h2o.hpp"
#include "runtime/scheduling/pyramid.hpp"
#include "runtime/scheduling/snapkv.hpp"
#include "runtime/scheduling/tova.hpp"
#include "tests/runtime/scheduling/real_attention.hpp"

namespace pikv::test {
namespace {

using Scores = std::vector<std::vector<double>>;   // by table, by page
constexpr double certain = 2;                      // above any share
constexpr std::int32_t tokens = 64, window = 16, kv_heads = RealAttention::kv_heads, group = RealAttention::group;

/// The best n pages of one table.
std::vector<Block> best(std::vector<double> const& score, std::size_t n) {
  auto order = blocks(static_cast<Block>(score.size()));
  std::sort(order.begin(), order.end(), [&](Block a, Block b) {
    double const x = score[static_cast<std::size_t>(a)], y = score[static_cast<std::size_t>(b)];
    return x != y ? x > y : a > b;
  });
  order.resize(std::min(n, order.size()));
  std::sort(order.begin(), order.end());
  return order;
}

class PageOracle : public ::testing::TestWithParam<std::tuple<int, std::int32_t>> {
 protected:
  ReferenceData const data{data_folder() / "kvpress" / "reduced.safetensors"};
  RealAttention const real{data, "t64.l" + std::to_string(std::get<0>(GetParam()))};
  std::int32_t const p = std::get<1>(GetParam()), pages = tokens / p;

  double mean_of_group(std::int32_t table, std::int32_t query, Block page) const {
    double sum = 0;
    for (std::int32_t head = table * group; head < (table + 1) * group; ++head) sum += real.share_of_page(head, query, page, p);
    return sum / group;
  }
  Scores snapkv_scores() const {
    Scores scores(kv_heads, std::vector<double>(static_cast<std::size_t>(pages), 0));
    for (std::int32_t table = 0; table < kv_heads; ++table)
      for (Block page = 0; page < pages; ++page) {
        double& score = scores[static_cast<std::size_t>(table)][static_cast<std::size_t>(page)];
        for (std::int32_t query = tokens - window; query < tokens; ++query) score += mean_of_group(table, query, page) / window;
        if ((page + 1) * p > tokens - window) score = certain;
      }
    return scores;
  }
  std::vector<std::vector<Block>> ours(Scheduler& scheduler, bool by_head, std::int32_t keep) const {
    auto const shape = real.shape(by_head, p);
    real.play(scheduler, shape);
    return kept(scheduler, Tables(static_cast<std::size_t>(shape.tables), hold(blocks(pages), p)), {.length = tokens, .tokens = keep * p});
  }
  SchedulerMaterial material(bool by_head) const { return {.shape = real.shape(by_head, p), .summaries = {}}; }
};

TEST_P(PageOracle, H2oKeepsTheNewestHalfAndTheHeaviest) {
  for (std::int32_t keep = 1; keep < pages; ++keep) {
    auto const h2o = make_h2o(material(true));
    auto const left = ours(*h2o, true, keep);
    for (std::int32_t table = 0; table < kv_heads; ++table) {
      std::vector<double> score(static_cast<std::size_t>(pages), 0);
      for (Block page = 0; page < pages; ++page) {
        for (std::int32_t query = 0; query < tokens; ++query) score[static_cast<std::size_t>(page)] += mean_of_group(table, query, page);
        if ((page + 1) * p > tokens - keep * p / 2) score[static_cast<std::size_t>(page)] = 1000;
      }
      EXPECT_EQ(left[static_cast<std::size_t>(table)], best(score, static_cast<std::size_t>(keep))) << keep << " pages, KV head " << table;
    }
  }
}

TEST_P(PageOracle, TovaKeepsWhatTheLastQueryCaresFor) {
  for (std::int32_t keep = 1; keep < pages; ++keep) {
    auto const tova = make_tova(material(false));
    std::vector<double> score(static_cast<std::size_t>(pages), 0);
    for (Block page = 0; page < pages; ++page)
      for (std::int32_t head = 0; head < RealAttention::q_heads; ++head)
        score[static_cast<std::size_t>(page)] += real.share_of_page(head, tokens - 1, page, p);
    score.back() = 1000;
    EXPECT_EQ(ours(*tova, false, keep).front(), best(score, static_cast<std::size_t>(keep)));
  }
}

TEST_P(PageOracle, SnapKvKeepsWhatTheWindowCaresFor) {
  auto const scores = snapkv_scores();
  for (std::int32_t keep = 1; keep < pages; ++keep) {
    auto const snapkv = make_snapkv(material(true), {.window = window});
    auto const left = ours(*snapkv, true, keep);
    for (std::size_t table = 0; table < kv_heads; ++table) EXPECT_EQ(left[table], best(scores[table], static_cast<std::size_t>(keep)));
  }
}

TEST_P(PageOracle, AdaKvKeepsTheBestOfAllHeadsOnceEachHasItsSafeguard) {
  auto const scores = snapkv_scores();
  for (std::int32_t keep = 1; keep < pages; ++keep) {
    std::vector<std::tuple<double, Block, std::int32_t>> all;   // what has the safeguard comes first
    auto const safe = static_cast<std::size_t>(std::max(1, keep / 5));
    for (std::int32_t table = 0; table < kv_heads; ++table) {
      auto const& of_table = scores[static_cast<std::size_t>(table)];
      auto const best_of_table = best(of_table, safe);
      for (Block page = 0; page < pages; ++page) {
        bool const is_safe = std::binary_search(best_of_table.begin(), best_of_table.end(), page);
        all.emplace_back(of_table[static_cast<std::size_t>(page)] + (is_safe ? 10 : 0), page, -table);
      }
    }
    std::sort(all.rbegin(), all.rend());
    std::vector<std::vector<Block>> expected(kv_heads);
    for (std::int32_t i = 0; i < keep * kv_heads; ++i) {
      auto const& [score, page, minus_table] = all[static_cast<std::size_t>(i)];
      expected[static_cast<std::size_t>(-minus_table)].push_back(page);
    }
    for (auto& of_table : expected) std::sort(of_table.begin(), of_table.end());
    auto const adakv = make_adakv(material(true), {.base = {.window = window}});
    EXPECT_EQ(ours(*adakv, true, keep), expected) << keep << " pages";
  }
}

/// Means over the rows that see a page at all.
std::vector<double> mean_received(RealAttention const& real, std::int32_t p) {
  std::vector<double> received;
  for (Block page = 0; page < tokens / p; ++page) {
    double sum = 0;
    for (std::int32_t query = page * p; query < tokens; ++query)
      for (std::int32_t head = 0; head < RealAttention::q_heads; ++head) sum += real.share_of_page(head, query, page, p);
    received.push_back(sum / (tokens - page * p));
  }
  return received;
}

TEST_P(PageOracle, ChunkSelectKeepsTheBestChunksForAllHeadsAlike) {
  auto const by_head = snapkv_scores();
  std::vector<double> score(static_cast<std::size_t>(pages), 0);
  for (auto const& of_table : by_head)
    for (std::size_t page = 0; page < score.size(); ++page) score[page] += of_table[page];
  for (std::int32_t keep = 1; keep < pages; ++keep) {
    auto const chunks = make_chunk_select(material(false), {.base = {.window = window}});
    EXPECT_EQ(ours(*chunks, false, keep).front(), best(score, static_cast<std::size_t>(keep))) << keep << " pages";
  }
}

TEST_P(PageOracle, PyramidKeepsTheBestOfEachHeadWithinTheBudgetOfItsLayer) {
  auto const scores = snapkv_scores();
  for (std::int32_t const layer : {0, 10, 29}) {
    auto shape = real.shape(true, p);
    shape.layer = layer;
    auto const pyramid = make_pyramid({.shape = shape, .summaries = {}}, {.base = {.window = window}});
    real.play(*pyramid, shape);
    std::int64_t const budget = pyramid->layer_tokens({.length = tokens, .tokens = tokens / 2}, 0);
    EXPECT_NEAR(static_cast<double>(budget), window + 31.2 - layer * 30.4 / 29, 1);   // beside the window 16 on average, at least 16 / 20
    auto const left = kept(*pyramid, Tables(kv_heads, hold(blocks(pages), p)), {.length = tokens, .tokens = budget});
    for (std::size_t table = 0; table < kv_heads; ++table) EXPECT_EQ(left[table], best(scores[table], static_cast<std::size_t>(budget / p))) << "layer " << layer;
  }
}

TEST_P(PageOracle, FastVKeepsWhatReceivesMostAttentionOnAverage) {
  for (std::int32_t keep = 1; keep < pages; ++keep) {
    auto const fastv = make_fastv(material(false));   // alone, so that it ranks by itself
    EXPECT_EQ(ours(*fastv, false, keep).front(), best(mean_received(real, p), static_cast<std::size_t>(keep))) << keep << " pages";
  }
}

std::string name_of(::testing::TestParamInfo<std::tuple<int, std::int32_t>> const& info) {
  return "layer" + std::to_string(std::get<0>(info.param)) + "_pages_of_" + std::to_string(std::get<1>(info.param));
}
INSTANTIATE_TEST_SUITE_P(Layers, PageOracle, ::testing::Combine(::testing::Values(0, 15, 29), ::testing::Values(2, 4, 8)), name_of);

}   // namespace
}   // namespace pikv::test
