#include "kernels/summary.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "random.hpp"
#include "targets.hpp"

namespace pikv::kernels {
namespace {

struct Shape {
  DType dtype;
  std::int32_t kv_heads, page_tokens, head_dim, q_heads, pages;
};

/// Pages of random keys whose last one is short; places without a token are NaN, so that reading one shows.
struct Pages {
  PageLayout layout;
  std::vector<std::byte> memory;
  std::vector<std::int32_t> tokens, all;
  std::vector<std::uint16_t> lo, hi;
  std::vector<float> mean;

  Pages(PageLayout shape, std::int32_t count, float spread = 1)
      : layout{shape}, memory(static_cast<std::size_t>(count) * slot_bytes(), std::byte{0xFF}), all(count) {
    std::iota(all.begin(), all.end(), 0);
    std::size_t const scalars = static_cast<std::size_t>(count) * layout.kv_heads * layout.head_dim;
    lo.resize(scalars), hi.resize(scalars), mean.resize(scalars);
    for (std::int32_t page = 0; page < count; ++page) {
      tokens.push_back(page + 1 < count ? layout.page_tokens : (layout.page_tokens + 1) / 2);
      for (std::int32_t head = 0; head < layout.kv_heads; ++head) {
        auto const keys = random_stored(layout.dtype, static_cast<std::size_t>(tokens.back()) * layout.head_dim, page * 64 + head, spread);
        std::copy(keys.begin(), keys.end(), pool().keys(page) + head * layout.head_scalars() * size_of(layout.dtype));
      }
    }
  }
  std::size_t slot_bytes() const { return (layout.bytes() + 4095) / 4096 * 4096; }
  PoolView pool() { return {memory.data(), slot_bytes(), layout}; }
  float key(std::int32_t page, std::int32_t head, std::int32_t token, std::int32_t channel) {
    return load_scalar(layout.dtype, pool().keys(page), head * layout.head_scalars() + token * layout.head_dim + channel);
  }
  template <class Summarise>
  void summarise(Summarise const& by) {
    for (std::int32_t const page : all) {
      std::size_t const at = static_cast<std::size_t>(page) * layout.kv_heads * layout.head_dim;
      by(pool(), page, tokens[page], SummaryOut{lo.data() + at, hi.data() + at, mean.data() + at});
    }
  }
  SummaryView view() const { return {lo.data(), hi.data(), mean.data(), tokens.data(), layout.kv_heads, layout.head_dim}; }
};

class SummaryTest : public ::testing::TestWithParam<Shape> {
 protected:
  Shape shape = GetParam();
  Pages pages{{shape.dtype, shape.kv_heads, shape.page_tokens, shape.head_dim}, shape.pages};
  std::vector<float> q = random_floats(static_cast<std::size_t>(shape.q_heads) * shape.head_dim, 3, 2);
  std::size_t results = static_cast<std::size_t>(shape.pages) * shape.q_heads;
};

TEST_P(SummaryTest, HostSumsUpAsTheReferenceDoes) {
  Pages wanted = pages;
  wanted.summarise(reference::summarise);
  on_each_target([&] {
    pages.summarise(host::summarise);
    EXPECT_EQ(pages.lo, wanted.lo);
    EXPECT_EQ(pages.hi, wanted.hi);
    for (std::size_t i = 0; i < pages.mean.size(); ++i) ASSERT_NEAR(pages.mean[i], wanted.mean[i], 1e-6) << "at " << i;
  });
}

TEST_P(SummaryTest, HostBoundsAsTheReferenceDoesInTheOrderAsked) {
  pages.summarise(reference::summarise);
  std::reverse(pages.all.begin(), pages.all.end());
  std::vector<float> upper(results), mean(results), wanted_upper(results), wanted_mean(results);
  reference::upper_bounds(pages.view(), pages.all, q.data(), shape.q_heads, wanted_upper.data());
  reference::mean_logits(pages.view(), pages.all, q.data(), shape.q_heads, wanted_mean.data());
  on_each_target([&] {
    host::upper_bounds(pages.view(), pages.all, q.data(), shape.q_heads, upper.data());
    host::mean_logits(pages.view(), pages.all, q.data(), shape.q_heads, mean.data());
    for (std::size_t i = 0; i < results; ++i) {
      ASSERT_NEAR(upper[i], wanted_upper[i], 1e-5 * (1 + std::abs(wanted_upper[i]))) << "at " << i;
      ASSERT_NEAR(mean[i], wanted_mean[i], 1e-5 * (1 + std::abs(wanted_upper[i]))) << "at " << i;
    }
  });
}

TEST_P(SummaryTest, TheLargestLogitLiesBetweenMeanAndUpperBound) {
  pages.summarise(host::summarise);
  std::vector<float> upper(results), mean(results);
  host::upper_bounds(pages.view(), pages.all, q.data(), shape.q_heads, upper.data());
  host::mean_logits(pages.view(), pages.all, q.data(), shape.q_heads, mean.data());
  for (std::int32_t page = 0; page < shape.pages; ++page) {
    for (std::int32_t head = 0; head < shape.q_heads; ++head) {
      double largest = -std::numeric_limits<double>::infinity();
      for (std::int32_t token = 0; token < pages.tokens[page]; ++token) {
        double logit = 0;
        for (std::int32_t i = 0; i < shape.head_dim; ++i)
          logit += double{q[head * shape.head_dim + i]} * pages.key(page, head / (shape.q_heads / shape.kv_heads), token, i);
        largest = std::max(largest, logit);
      }
      double const rounding = 1e-5 * (1 + std::abs(largest));
      ASSERT_LE(mean[page * shape.q_heads + head], largest + rounding) << page << ' ' << head;
      ASSERT_GE(upper[page * shape.q_heads + head], largest - rounding) << page << ' ' << head;
    }
  }
}

TEST_P(SummaryTest, BoxesHoldEveryKeyAndAreTheTightestThatBf16CanTell) {
  pages.summarise(host::summarise);
  auto const next_inside = [](std::uint16_t bound, int towards) {   // the neighbour of a bf16 number, by counting bits
    auto const magnitude = static_cast<std::int32_t>(bound & 0x7FFF), signed_bits = bound & 0x8000 ? -magnitude : magnitude;
    std::int32_t const next = signed_bits + towards;
    return from_bf16(static_cast<std::uint16_t>(next < 0 ? 0x8000 | -next : next));
  };
  for (std::int32_t page = 0; page < shape.pages; ++page) {
    for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
      for (std::int32_t i = 0; i < shape.head_dim; ++i) {
        std::size_t const at = (static_cast<std::size_t>(page) * shape.kv_heads + head) * shape.head_dim + i;
        float least = pages.key(page, head, 0, i), most = least;
        for (std::int32_t token = 1; token < pages.tokens[page]; ++token) {
          least = std::min(least, pages.key(page, head, token, i));
          most = std::max(most, pages.key(page, head, token, i));
        }
        ASSERT_LE(from_bf16(pages.lo[at]), least);
        ASSERT_GE(from_bf16(pages.hi[at]), most);
        ASSERT_GT(next_inside(pages.lo[at], 1), least);
        ASSERT_LT(next_inside(pages.hi[at], -1), most);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, SummaryTest,
                         ::testing::Values(Shape{DType::bf16, 8, 32, 128, 32, 67}, Shape{DType::f32, 3, 16, 64, 9, 5},
                                           Shape{DType::f16, 2, 8, 40, 2, 1}, Shape{DType::bf16, 1, 4, 7, 6, 4}, Shape{DType::f32, 2, 1, 17, 4, 3},
                                           Shape{DType::f16, 1, 64, 80, 8, 2}));

TEST(Summary, OfOneKeyMeanAndUpperBoundAreItsLogit) {
  Pages pages{{DType::bf16, 2, 1, 24}, 1};
  pages.summarise(host::summarise);
  auto const q = random_floats(4 * 24, 1);
  std::vector<float> upper(4), mean(4);
  host::upper_bounds(pages.view(), pages.all, q.data(), 4, upper.data());
  host::mean_logits(pages.view(), pages.all, q.data(), 4, mean.data());
  for (int head = 0; head < 4; ++head) {
    double logit = 0;
    for (int i = 0; i < 24; ++i) logit += double{q[head * 24 + i]} * pages.key(0, head / 2, 0, i);
    EXPECT_NEAR(upper[head], logit, 1e-5);
    EXPECT_NEAR(mean[head], logit, 1e-5);
  }
}

// Methods 2.9: q = (1, -2), keys (.5, -.5) and (.2, -1): mean logit 1.85, largest 2.2, upper bound 2.5. bf16 cannot tell .2: its box is wider.
TEST(Summary, TheWorkedExample) {
  Pages pages{{DType::f32, 1, 2, 2}, 1};
  pages.tokens = {2};
  std::vector<float> const keys{.5f, -.5f, .2f, -1}, q{1, -2};
  std::memcpy(pages.pool().keys(0), keys.data(), keys.size() * sizeof(float));
  float upper = 0, mean = 0;
  for (auto const summarise : {reference::summarise, host::summarise}) {
    pages.summarise(summarise);
    EXPECT_EQ(from_bf16(pages.lo[0]), .19921875f);
    EXPECT_EQ(from_bf16(pages.hi[0]), .5f);
    host::upper_bounds(pages.view(), pages.all, q.data(), 1, &upper);
    host::mean_logits(pages.view(), pages.all, q.data(), 1, &mean);
    EXPECT_NEAR(upper, 2.5, 1e-6);
    EXPECT_NEAR(mean, 1.85, 1e-6);
  }
}

TEST(Summary, ZeroHasBothSignsAndStaysExact) {
  Pages pages{{DType::f32, 1, 2, 2}, 1};
  pages.tokens = {2};
  std::vector<float> const keys{0, -0.0f, -0.0f, -0.0f};
  std::memcpy(pages.pool().keys(0), keys.data(), keys.size() * sizeof(float));
  pages.summarise(host::summarise);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(from_bf16(pages.lo[i]), 0);
    EXPECT_EQ(from_bf16(pages.hi[i]), 0);
  }
}

}   // namespace
}   // namespace pikv::kernels
