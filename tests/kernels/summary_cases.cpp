#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "operations.hpp"
#include "random.hpp"

namespace pikv::kernels {
namespace {

struct SummaryShape {
  DType dtype;
  std::int32_t kv_heads, page_tokens, head_dim, q_heads, pages;
};

constexpr SummaryShape summary_shapes[] = {{DType::bf16, 8, 32, 128, 32, 67}, {DType::f32, 3, 16, 64, 9, 5}, {DType::f16, 2, 8, 40, 2, 1},
                                           {DType::bf16, 1, 4, 7, 6, 4},      {DType::f32, 2, 1, 17, 4, 3},  {DType::f16, 1, 64, 80, 8, 2}};

/// Pages of random keys whose last one is short; places without a token are NaN, so that reading one shows.
struct SummaryPages {
  PageLayout layout;
  std::vector<std::byte> memory;
  std::vector<std::int32_t> tokens, all;
  std::vector<std::uint16_t> lo, hi;
  std::vector<float> mean;

  SummaryPages(PageLayout shape, std::int32_t count, float spread = 1)
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
  /// By the reference.
  void summarise() {
    for (std::int32_t const page : all) {
      std::size_t const at = static_cast<std::size_t>(page) * layout.kv_heads * layout.head_dim;
      reference::summarise(pool(), page, tokens[page], {lo.data() + at, hi.data() + at, mean.data() + at});
    }
  }
  SummaryView view() const { return {lo.data(), hi.data(), mean.data(), tokens.data(), layout.kv_heads, layout.head_dim}; }
};

class SummaryCases : public OperationCases {
 protected:
  /// By the backend, in one call. It gets the keys of filled tokens alone, so that the emulation reports a read of any other.
  void summarise(SummaryPages& pages) {
    PageLayout const& layout = pages.layout;
    Held<std::byte> memory{on(), pages.memory.size()};
    for (std::int32_t const page : pages.all) {
      for (std::int32_t head = 0; head < layout.kv_heads; ++head) {
        std::byte const* const from = pages.pool().keys(page) + head * layout.head_scalars() * size_of(layout.dtype);
        std::size_t const bytes = static_cast<std::size_t>(pages.tokens[page]) * layout.head_dim * size_of(layout.dtype);
        memory.put(static_cast<std::size_t>(from - pages.memory.data()), {from, bytes});
      }
    }
    std::vector<std::int32_t> slots = pages.all, tokens = pages.tokens;
    std::reverse(slots.begin(), slots.end());
    std::reverse(tokens.begin(), tokens.end());
    auto const held_slots = hold(slots), held_tokens = hold(tokens);
    Held<std::uint16_t> const lo{on(), pages.lo.size()}, hi{on(), pages.hi.size()};
    Held<float> const mean{on(), pages.mean.size()};
    on().summarise({memory.data(), pages.slot_bytes(), layout}, held_slots.data(), held_tokens.data(), held_slots.data(),
                   static_cast<std::int32_t>(slots.size()), {lo.data(), hi.data(), mean.data()}, stream());
    pages.lo = lo.values(), pages.hi = hi.values(), pages.mean = mean.values();
  }

  struct Scores {
    std::vector<float> upper, mean;
  };
  Scores scores(SummaryPages const& pages, std::vector<float> const& q) {
    auto const q_heads = static_cast<std::int32_t>(q.size() / pages.layout.head_dim);
    auto const lo = hold(pages.lo), hi = hold(pages.hi);
    auto const mean = hold(pages.mean), held_q = hold(q);
    auto const tokens = hold(pages.tokens), listed = hold(pages.all);
    SummaryView const view{lo.data(), hi.data(), mean.data(), tokens.data(), pages.layout.kv_heads, pages.layout.head_dim};
    std::span<std::int32_t const> const list{listed.data(), listed.size()};
    Held<float> const upper_out{on(), listed.size() * q_heads}, mean_out{on(), listed.size() * q_heads};
    on().upper_bounds(view, list, held_q.data(), q_heads, upper_out.data(), stream());
    on().mean_logits(view, list, held_q.data(), q_heads, mean_out.data(), stream());
    return {upper_out.values(), mean_out.values()};
  }

  /// body(shape, pages with no summary yet, queries) for each shape.
  template <class Body>
  void for_each_shape(Body const& body) {
    for (SummaryShape const& shape : summary_shapes) {
      SummaryPages pages{{shape.dtype, shape.kv_heads, shape.page_tokens, shape.head_dim}, shape.pages};
      body(shape, pages, random_floats(static_cast<std::size_t>(shape.q_heads) * shape.head_dim, 3, 2));
    }
  }
};

TEST_P(SummaryCases, SumUpAsTheReferenceDoes) {
  for_each_shape([&](SummaryShape const&, SummaryPages& pages, std::vector<float> const&) {
    SummaryPages wanted = pages;
    wanted.summarise();
    on().on_each_path([&] {
      summarise(pages);
      EXPECT_EQ(pages.lo, wanted.lo);
      EXPECT_EQ(pages.hi, wanted.hi);
      expect_near(pages.mean, wanted.mean, 1e-6f);
    });
  });
}

TEST_P(SummaryCases, BoundAsTheReferenceDoesInTheOrderAsked) {
  for_each_shape([&](SummaryShape const& shape, SummaryPages& pages, std::vector<float> const& q) {
    pages.summarise();
    std::reverse(pages.all.begin(), pages.all.end());
    std::vector<float> upper(pages.all.size() * shape.q_heads), mean(upper.size());
    reference::upper_bounds(pages.view(), pages.all, q.data(), shape.q_heads, upper.data());
    reference::mean_logits(pages.view(), pages.all, q.data(), shape.q_heads, mean.data());
    on().on_each_path([&] {
      Scores const got = scores(pages, q);
      for (std::size_t i = 0; i < upper.size(); ++i) {
        ASSERT_NEAR(got.upper[i], upper[i], 1e-5 * (1 + std::abs(upper[i]))) << "at " << i;
        ASSERT_NEAR(got.mean[i], mean[i], 1e-5 * (1 + std::abs(upper[i]))) << "at " << i;
      }
    });
  });
}

TEST_P(SummaryCases, TheLargestLogitLiesBetweenMeanAndUpperBound) {
  for_each_shape([&](SummaryShape const& shape, SummaryPages& pages, std::vector<float> const& q) {
    summarise(pages);
    auto const [upper, mean] = scores(pages, q);
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
  });
}

TEST_P(SummaryCases, BoxesHoldEveryKeyAndAreTheTightestThatBf16CanTell) {
  for_each_shape([&](SummaryShape const& shape, SummaryPages& pages, std::vector<float> const&) {
    summarise(pages);
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
  });
}

TEST_P(SummaryCases, OfOneKeyMeanAndUpperBoundAreItsLogit) {
  SummaryPages pages{{DType::bf16, 2, 1, 24}, 1};
  summarise(pages);
  auto const q = random_floats(4 * 24, 1);
  auto const [upper, mean] = scores(pages, q);
  for (int head = 0; head < 4; ++head) {
    double logit = 0;
    for (int i = 0; i < 24; ++i) logit += double{q[head * 24 + i]} * pages.key(0, head / 2, 0, i);
    EXPECT_NEAR(upper[head], logit, 1e-5);
    EXPECT_NEAR(mean[head], logit, 1e-5);
  }
}

// Methods 2.9: q = (1, -2), keys (.5, -.5) and (.2, -1): mean logit 1.85, largest 2.2, upper bound 2.5. bf16 cannot tell .2: its box is wider.
TEST_P(SummaryCases, TheWorkedExample) {
  SummaryPages pages{{DType::f32, 1, 2, 2}, 1};
  pages.tokens = {2};
  std::vector<float> const keys{.5f, -.5f, .2f, -1};
  std::memcpy(pages.pool().keys(0), keys.data(), keys.size() * sizeof(float));
  for (bool const by_reference : {true, false}) {
    by_reference ? pages.summarise() : summarise(pages);
    EXPECT_EQ(from_bf16(pages.lo[0]), .19921875f);
    EXPECT_EQ(from_bf16(pages.hi[0]), .5f);
    auto const [upper, mean] = scores(pages, {1, -2});
    EXPECT_NEAR(upper[0], 2.5, 1e-6);
    EXPECT_NEAR(mean[0], 1.85, 1e-6);
  }
}

TEST_P(SummaryCases, ZeroHasBothSignsAndStaysExact) {
  SummaryPages pages{{DType::f32, 1, 2, 2}, 1};
  pages.tokens = {2};
  std::vector<float> const keys{0, -0.0f, -0.0f, -0.0f};
  std::memcpy(pages.pool().keys(0), keys.data(), keys.size() * sizeof(float));
  summarise(pages);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(from_bf16(pages.lo[i]), 0);
    EXPECT_EQ(from_bf16(pages.hi[i]), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, SummaryCases, ::testing::ValuesIn(backends()));

}  // namespace
}  // namespace pikv::kernels
