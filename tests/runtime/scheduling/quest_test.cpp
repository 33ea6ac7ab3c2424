#include "runtime/scheduling/quest.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>

#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {
namespace {

constexpr std::int32_t head_dim = 8, p = 4, pages = 30;
constexpr float always = std::numeric_limits<float>::infinity();

/// One KV head with pages of four random keys.
struct Keys {
  std::vector<float> pool = std::vector<float>(2 * pages * p * head_dim);
  std::vector<PageSummaries> summaries{PageSummaries{1, head_dim}};

  explicit Keys(std::mt19937& random, Block known = pages) {
    std::normal_distribution<float> normal;
    kernels::PageLayout const layout{kernels::DType::f32, 1, p, head_dim};
    for (float& x : pool) x = normal(random);
    for (Block page = 0; page < known; ++page) summaries[0].add(page, {reinterpret_cast<std::byte*>(pool.data()), layout.bytes(), layout}, page, p);
  }
  /// By the page's box, in fp64.
  double upper_bound(Block page, float const* q) const {
    auto const view = summaries[0].view();
    double sum = 0;
    for (std::int32_t c = 0; c < head_dim; ++c) {
      auto const i = static_cast<std::size_t>(page * head_dim + c);
      sum += std::max(double{q[c]} * kernels::from_bf16(view.lo[i]), double{q[c]} * kernels::from_bf16(view.hi[i]));
    }
    return sum;
  }
};

std::vector<float> random_query(std::mt19937& random, std::int32_t heads) {
  std::normal_distribution<float> normal;
  std::vector<float> q(static_cast<std::size_t>(heads * head_dim));
  for (float& x : q) x = normal(random);
  return q;
}

LayerShape shape(std::int32_t layer, std::int32_t heads) { return {.layer = layer, .q_heads = heads, .head_dim = head_dim, .page_tokens = p}; }

std::vector<Block> by_falling(std::vector<double> const& score) {
  auto order = blocks(pages);
  std::stable_sort(order.begin(), order.end(),
                   [&](Block a, Block b) { return score[static_cast<std::size_t>(a)] > score[static_cast<std::size_t>(b)]; });
  return order;
}

TEST(Quest, RanksPagesAsTheirUpperBoundsDo) {
  std::mt19937 random{1};
  for (int round = 0; round < 50; ++round) {
    Keys const keys{random};
    auto const q = random_query(random, 1);
    std::vector<float> score(pages);
    make_quest({.shape = shape(2, 1), .summaries = keys.summaries})->select(0, blocks(pages), q, score);
    std::vector<double> bound;
    for (Block page = 0; page < pages; ++page) bound.push_back(keys.upper_bound(page, q.data()));
    double const highest = *std::max_element(bound.begin(), bound.end());
    for (std::size_t page = 0; page < pages; ++page) EXPECT_NEAR(score[page], (bound[page] - highest) / std::sqrt(8.), 1e-5) << page;
    EXPECT_EQ(by_falling({score.begin(), score.end()}), by_falling(bound));
  }
}

TEST(Quest, ReadsForAGroupOfHeadsWhatAnyOfThemWants) {
  std::mt19937 random{2};
  Keys const keys{random};
  auto q = random_query(random, 2);
  for (std::size_t c = 0; c < head_dim; ++c) q[c] *= 20;   // a loud head does not drown the other
  std::vector<float> of_group(pages), of_one(pages), of_other(pages);
  make_quest({.shape = shape(2, 2), .summaries = keys.summaries})->select(0, blocks(pages), q, of_group);
  auto const single = make_quest({.shape = shape(2, 1), .summaries = keys.summaries});
  single->select(0, blocks(pages), std::span{q}.first(head_dim), of_one);
  single->select(0, blocks(pages), std::span{q}.last(head_dim), of_other);
  for (std::size_t page = 0; page < pages; ++page) EXPECT_FLOAT_EQ(of_group[page], std::max(of_one[page], of_other[page]));
}

TEST(Quest, ReadsEverythingInTheFirstTwoLayersAndWhatHasNoSummary) {
  std::mt19937 random{3};
  Keys const keys{random, pages - 1};
  auto const q = random_query(random, 1);
  std::vector<float> score(pages);
  for (std::int32_t const layer : {0, 1}) {
    make_quest({.shape = shape(layer, 1), .summaries = keys.summaries})->select(0, blocks(pages), q, score);
    EXPECT_EQ(score, std::vector<float>(pages, always));
  }
  make_quest({.shape = shape(2, 1), .summaries = keys.summaries})->select(0, blocks(pages), q, score);
  EXPECT_EQ(score.back(), always);
  EXPECT_TRUE(std::all_of(score.begin(), score.end() - 1, [](float s) { return s <= 0; }));
}

TEST(Quest, RefusesAQueryThatIsNotANumber) {
  std::mt19937 random{4};
  Keys const keys{random};
  std::vector<float> q(head_dim, std::nanf("")), score(pages);
  EXPECT_THROW(make_quest({.shape = shape(2, 1), .summaries = keys.summaries})->select(0, blocks(pages), q, score), std::logic_error);
}

}   // namespace
}   // namespace pikv::test
