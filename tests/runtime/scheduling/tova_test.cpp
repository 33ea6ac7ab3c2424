#include "runtime/scheduling/tova.hpp"

#include <gtest/gtest.h>

#include "tests/runtime/scheduling/driver.hpp"

namespace pikv::test {
namespace {

TEST(Tova, DropsTheTokenTheLastQueryCaredForLeast) {
  auto const tova = make_tova(material());
  read(*tova, 3, blocks(4), {.5f, .05f, .3f, .15f});
  EXPECT_EQ(kept(*tova, 4, 3), (std::vector<Block>{0, 2, 3}));
}

TEST(Tova, OnlyTheLastQueryCounts) {
  auto const tova = make_tova(material());
  std::vector<Block> const pages = blocks(3);
  std::vector<float> const mass{.9f, .1f, .05f, .3f, 0, .5f};   // [page][row]
  tova->read({.first_position = 1, .rows = 2, .pages = pages, .mass = mass});
  EXPECT_EQ(utilities(*tova, pages), (std::vector<float>{.1f, .3f, 1}));
  read(*tova, 3, {0, 2, 3}, {.2f, .3f, .5f});
  EXPECT_EQ(utilities(*tova, blocks(4)), (std::vector<float>{.2f, 0, .3f, 1}));
}

TEST(Tova, TakesTheMeanOverAllHeads) {
  auto const tova = make_tova(material({.kv_heads = 2, .q_heads = 4}));
  std::vector<Block> const pages = blocks(2);
  std::vector<float> const mass{1, .5f, .25f, .25f, 0, .5f, .75f, .75f};
  tova->read({.first_position = 2, .rows = 1, .pages = pages, .mass = mass});
  EXPECT_EQ(utilities(*tova, pages), (std::vector<float>{.5f, .5f}));
}

TEST(Tova, KeepsADominantKeyAndTheNewestToken) {
  auto const tova = make_tova(material());
  read(*tova, 9, blocks(10), {0, 0, 0, 1, 0, 0, 0, 0, 0, 0});
  EXPECT_EQ(kept(*tova, 10, 2), (std::vector<Block>{3, 9}));
}

}   // namespace
}   // namespace pikv::test
