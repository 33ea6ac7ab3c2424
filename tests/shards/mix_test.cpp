#include "shards/mix.hpp"

#include <gtest/gtest.h>

namespace pikv::shards {
namespace {

TEST(Mix, IsOneStepOfSplitmix64) {
  EXPECT_EQ(mix(0), 0xe220a8397b1dcdafu);
  EXPECT_EQ(mix(1), 0x910a2dec89025cc1u);
  EXPECT_EQ(mix(42), 0xbdd732262feb6e95u);
}

}  // namespace
}  // namespace pikv::shards
