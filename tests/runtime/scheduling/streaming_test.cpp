#include "runtime/scheduling/streaming.hpp"

#include <gtest/gtest.h>

#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {
namespace {

TEST(Streaming, KeepsTheFirstFourAndTheLastTokensAtEveryLength) {
  auto const streaming = make_streaming(material());
  for (std::int64_t const budget : {5, 7, 12, 64})
    for (std::int64_t length = 1; length <= 100; ++length) {
      std::vector<Block> expected;
      for (Block token = 0; token < length; ++token)
        if (token < 4 || token >= length - (budget - 4)) expected.push_back(token);
      EXPECT_EQ(kept(*streaming, length, budget), expected) << "length " << length << ", budget " << budget;
    }
}

TEST(Streaming, KeepsTheFirstPageAndAsManyOfTheNewestAsFitAtEveryLength) {
  for (std::int32_t const p : {2, 16, 32}) {
    auto const streaming = make_streaming(material({.page_tokens = p}));
    for (std::int64_t const budget : {2 * p, 3 * p + 1, 5 * p - 1})
      for (std::int64_t length = 1; length <= 12 * p; ++length) {
        Block const n = shards::blocks_for(length, p);
        Block const first = shards::blocks_for(4, p);
        std::vector<HeldPage> held = hold(blocks(n), p);
        held.back().tokens = static_cast<std::int32_t>(length - shards::first_position(n - 1, p));
        std::vector<Block> expected;
        std::int64_t left = budget;
        for (Block block = 0; block < std::min(first, n); ++block) left -= held[static_cast<std::size_t>(block)].tokens;
        Block oldest = n;
        while (oldest > first && held[static_cast<std::size_t>(oldest - 1)].tokens <= left) left -= held[static_cast<std::size_t>(--oldest)].tokens;
        for (Block block = 0; block < n; ++block)
          if (block < first || block >= oldest) expected.push_back(block);
        EXPECT_EQ(kept(*streaming, {held}, {.length = length, .tokens = budget}).front(), expected) << p << " a page, length " << length;
      }
  }
}

}   // namespace
}   // namespace pikv::test
