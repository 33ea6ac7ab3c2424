#include "runtime/page_summaries.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>

#include "live_bytes.hpp"
#include "reference_data.hpp"

namespace pikv::runtime {
namespace {

using kernels::DType;
using kernels::from_bf16;
using kernels::PageLayout;
using kernels::PoolView;

/// f32 pages cut from keys [kv_heads][tokens][head_dim].
struct Pages {
  PageLayout layout;
  std::int32_t tokens;
  std::vector<std::byte> memory;

  Pages(std::vector<float> const& keys, std::int32_t kv_heads, std::int32_t head_dim, std::int32_t page_tokens)
      : layout{DType::f32, kv_heads, page_tokens, head_dim},
        tokens{static_cast<std::int32_t>(keys.size()) / kv_heads / head_dim},
        memory(static_cast<std::size_t>(count()) * layout.bytes(), std::byte{0xFF}) {
    auto const d = static_cast<std::size_t>(head_dim);
    for (std::int32_t head = 0; head < kv_heads; ++head)
      for (std::int32_t token = 0; token < tokens; ++token)
        std::memcpy(pool().keys(token / page_tokens) + (head * layout.head_scalars() + token % page_tokens * d) * sizeof(float),
                    keys.data() + (static_cast<std::size_t>(head) * tokens + token) * d, d * sizeof(float));
  }
  std::int32_t count() const { return (tokens + layout.page_tokens - 1) / layout.page_tokens; }
  std::int32_t tokens_of(std::int32_t page) const { return std::min(layout.page_tokens, tokens - page * layout.page_tokens); }
  PoolView pool() { return {memory.data(), layout.bytes(), layout}; }
};

std::vector<float> ramp(std::int32_t tokens) {   // one head of two channels: (t, -t)
  std::vector<float> keys;
  for (std::int32_t t = 0; t < tokens; ++t) keys.insert(keys.end(), {static_cast<float>(t), static_cast<float>(-t)});
  return keys;
}

TEST(PageSummaries, HoldsBlocksInWhateverOrderTheyCome) {
  Pages pages{ramp(11), 1, 2, 4};
  PageSummaries summaries{1, 2};
  summaries.add(2, pages.pool(), 2, 3);
  summaries.add(0, pages.pool(), 0, 4);
  EXPECT_TRUE(summaries.knows(0));
  EXPECT_FALSE(summaries.knows(1));
  EXPECT_TRUE(summaries.knows(2));
  EXPECT_FALSE(summaries.knows(3));
  auto const view = summaries.view();
  EXPECT_EQ(std::vector<std::int32_t>(view.tokens, view.tokens + 3), (std::vector<std::int32_t>{4, 0, 3}));
  EXPECT_EQ(from_bf16(view.lo[4]), 8);
  EXPECT_EQ(from_bf16(view.hi[4]), 10);
  EXPECT_EQ(from_bf16(view.lo[5]), -10);
  EXPECT_EQ(view.mean[4], 9);
  EXPECT_EQ(view.mean[1], -1.5f);
}

TEST(PageSummaries, ABlockThatIsAddedAgainIsSummedUpAnew) {
  Pages pages{ramp(8), 1, 2, 4};
  PageSummaries summaries{1, 2};
  summaries.add(0, pages.pool(), 0, 4);
  summaries.add(0, pages.pool(), 1, 2);
  auto const view = summaries.view();
  EXPECT_EQ(view.tokens[0], 2);
  EXPECT_EQ(from_bf16(view.lo[0]), 4);
  EXPECT_EQ(from_bf16(view.hi[0]), 5);
}

TEST(PageSummaries, ForgetsABlockAndWhatFollows) {
  Pages pages{ramp(20), 1, 2, 4};
  PageSummaries summaries{1, 2};
  for (std::int32_t block = 0; block < 5; ++block) summaries.add(block, pages.pool(), block, 4);
  summaries.forget(7);
  EXPECT_TRUE(summaries.knows(4));
  summaries.forget(2);
  EXPECT_TRUE(summaries.knows(1));
  EXPECT_FALSE(summaries.knows(2));
  summaries.add(3, pages.pool(), 3, 4);
  EXPECT_FALSE(summaries.knows(2)) << "what was forgotten has come back";
  EXPECT_EQ(from_bf16(summaries.view().lo[6]), 12);
}

TEST(PageSummaries, BytesAreThoseOfItsMemory) {
  Pages pages{ramp(400), 1, 2, 4};
  std::ptrdiff_t const before = test::live_bytes();
  PageSummaries summaries{1, 2};
  EXPECT_EQ(summaries.bytes(), 0u);
  for (std::int32_t block = 0; block < 100; ++block) {
    summaries.add(block, pages.pool(), block, 4);
    ASSERT_EQ(summaries.bytes(), static_cast<std::size_t>(test::live_bytes() - before));
  }
  summaries.forget(1);
  EXPECT_EQ(summaries.bytes(), static_cast<std::size_t>(test::live_bytes() - before));
}

TEST(PageSummaries, GrowsWithLittleSlack) {
  Pages pages{ramp(2000), 1, 2, 4};
  PageSummaries summaries{1, 2};
  for (std::int32_t block = 0; block < 500; ++block) {
    summaries.add(block, pages.pool(), block, 4);
    std::size_t const needed = (static_cast<std::size_t>(block) + 1) * (2 * (2 + 2 + 4) + 4 + 4);   // box and mean, tokens, key error
    ASSERT_GE(summaries.bytes(), needed);
    ASSERT_LE(static_cast<double>(summaries.bytes()), 1.2 * static_cast<double>(needed) + 8 * 24);
  }
}

TEST(PageSummaries, RefusesAPageOfAnotherShape) {
  Pages pages{ramp(4), 1, 2, 4};
  PageSummaries summaries{2, 2};
  EXPECT_THROW(summaries.add(0, pages.pool(), 0, 4), std::logic_error);
}

/// The definition of Quest on a real model (tests/data/quest).
class Quest : public ::testing::TestWithParam<std::string> {
 protected:
  static constexpr std::int32_t kv_heads = 3, q_heads = 9, d = 64, queries = 8;
  test::ReferenceData const data{test::data_folder() / "quest" / "reduced.safetensors"};
  std::string const stem = GetParam().substr(0, GetParam().find('_')), paged = stem + ".p" + GetParam().substr(GetParam().find('_') + 1);
  std::vector<float> const keys = data.floats(stem + ".k"), q = data.floats(stem + ".q");
  Pages pages{keys, kv_heads, d, paged.ends_with("16") ? 16 : 32};
  PageSummaries summaries{kv_heads, d};
  std::vector<std::int32_t> all = std::vector<std::int32_t>(static_cast<std::size_t>(pages.count()));

  void SetUp() override {
    std::iota(all.begin(), all.end(), 0);
    for (std::int32_t const page : all) summaries.add(page, pages.pool(), page, pages.tokens_of(page));
  }
  /// Index of theirs: [query][head][page].
  std::size_t at(std::int32_t query, std::int32_t head, std::int32_t page) const {
    return static_cast<std::size_t>((query * q_heads + head) * pages.count() + page);
  }
  float const* query(std::int32_t n) const { return q.data() + n * q_heads * d; }
  double logit(std::int32_t n, std::int32_t head, std::int32_t token) const {
    float const *const a = query(n) + head * d, *const b = keys.data() + (head / 3 * pages.tokens + token) * d;
    return std::inner_product(a, a + d, b, 0.0, std::plus<>{}, [](double x, double y) { return x * y; });
  }
};

TEST_P(Quest, BoxesAreTheirsRoundedOutwards) {
  auto const lo = data.floats(paged + ".lo"), hi = data.floats(paged + ".hi");
  auto const view = summaries.view();
  for (std::int32_t page = 0; page < pages.count(); ++page) {
    for (std::int32_t head = 0; head < kv_heads; ++head) {
      for (std::int32_t i = 0; i < d; ++i) {
        auto const ours = static_cast<std::size_t>((page * kv_heads + head) * d + i);
        auto const theirs = static_cast<std::size_t>((head * pages.count() + page) * d + i);
        double const least = lo[theirs], most = hi[theirs];
        ASSERT_LE(from_bf16(view.lo[ours]), least);
        ASSERT_GT(from_bf16(view.lo[ours]), least - std::abs(least) / 128 - 1e-30);
        ASSERT_GE(from_bf16(view.hi[ours]), most);
        ASSERT_LT(from_bf16(view.hi[ours]), most + std::abs(most) / 128 + 1e-30);
      }
    }
  }
}

TEST_P(Quest, UpperBoundsAreTheirsOrWiderByTheRoundingOfTheBoxAlone) {
  auto const upper = data.floats(paged + ".upper"), true_max = data.floats(paged + ".true_max"), lo = data.floats(paged + ".lo"),
             hi = data.floats(paged + ".hi");
  std::vector<float> ours(all.size() * q_heads);
  for (std::int32_t n = 0; n < queries; ++n) {
    kernels::host::upper_bounds(summaries.view(), all, query(n), q_heads, ours.data());
    for (std::int32_t page = 0; page < pages.count(); ++page) {
      for (std::int32_t head = 0; head < q_heads; ++head) {
        double widening = 0;
        for (std::int32_t i = 0; i < d; ++i) {
          auto const box = static_cast<std::size_t>((head / 3 * pages.count() + page) * d + i);
          widening += std::abs(query(n)[head * d + i]) * std::max(std::abs(lo[box]), std::abs(hi[box])) / 128;
        }
        double const bound = ours[static_cast<std::size_t>(page * q_heads + head)], theirs = upper[at(n, head, page)];
        ASSERT_GE(bound, theirs - 1e-5 * std::abs(theirs) - 1e-3) << n << ' ' << head << ' ' << page;
        ASSERT_LE(bound, theirs + widening + 1e-3) << n << ' ' << head << ' ' << page;
        ASSERT_GE(bound, true_max[at(n, head, page)] - 1e-3) << n << ' ' << head << ' ' << page;
      }
    }
  }
}

TEST_P(Quest, MeanLogitsLieBelowTheLargest) {
  auto const true_max = data.floats(paged + ".true_max");
  std::vector<float> mean(all.size() * q_heads);
  for (std::int32_t n = 0; n < queries; ++n) {
    kernels::host::mean_logits(summaries.view(), all, query(n), q_heads, mean.data());
    for (std::int32_t page = 0; page < pages.count(); ++page) {
      std::int32_t const first = page * pages.layout.page_tokens, last = first + pages.tokens_of(page) - 1;
      for (std::int32_t head = 0; head < q_heads; ++head) {
        double largest = logit(n, head, first), sum = 0;
        for (std::int32_t token = first; token <= last; ++token) {
          largest = std::max(largest, logit(n, head, token));
          sum += logit(n, head, token);
        }
        double const ours = mean[static_cast<std::size_t>(page * q_heads + head)];
        ASSERT_NEAR(ours, sum / (last - first + 1), 1e-3);
        ASSERT_LE(ours, largest + 1e-3);
        bool const query_sees_all = pages.tokens - queries + n >= last;
        if (query_sees_all) {
          ASSERT_NEAR(true_max[at(n, head, page)], largest, 1e-5 * std::abs(largest) + 1e-3);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Vectors, Quest, ::testing::Values("l0_16", "l0_32", "l15_16", "l15_32", "l29_16", "l29_32", "end_16", "end_32"),
                         [](auto const& vectors) { return vectors.param; });

}  // namespace
}  // namespace pikv::runtime
