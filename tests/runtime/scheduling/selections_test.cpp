#include "runtime/scheduling/selections.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "comm/error.hpp"

namespace pikv::test {
namespace {

using namespace runtime;

std::string sentence(std::string_view name, double parameter) {
  try {
    (void)make_selection({std::string{name}, parameter});
  } catch (InputError const& error) {
    return error.what();
  }
  return {};
}

TEST(Selections, TakeAShareAndHalfIfNoneIsGiven) {
  for (auto const& [name, entry] : selections()) {
    EXPECT_EQ(make_selection({std::string{name}, {}}).parameter, .5);
    EXPECT_EQ(make_selection({std::string{name}, .25}).parameter, .25);
    EXPECT_EQ(make_selection({std::string{name}, .25}).name, name);
  }
}

TEST(Selections, RefuseWhatIsNoShareWithASentence) {
  for (auto const& [name, entry] : selections())
    for (double const parameter : {-0.5, 1.5, double(NAN)}) EXPECT_NE(sentence(name, parameter), "") << name << ":" << parameter;
  EXPECT_EQ(sentence("pyramid", 0), "'0' of codec pyramid:0 is not a share of the tokens it can keep (above 0, at most 1); give one like pyramid:0.5");
  EXPECT_EQ(sentence("fastv", 1), "'1' of codec fastv:1 is not a share of the tokens it can drop (0 or more, below 1); give one like fastv:0.5");
  EXPECT_EQ(sentence("pyramid", 1) + sentence("fastv", 0), "");
}

TEST(Selections, StateTheShareOfAllLayersThatStays) {
  EXPECT_EQ(selections().at("pyramid").share(.25, 32), .25);
  EXPECT_EQ(selections().at("chunk_select").share(.25, 32), .25);
  EXPECT_NEAR(selections().at("fastv").share(.75, 32), (2 + 30 * .25) / 32, 1e-12);
}

TEST(Selections, AreNoSchedulersAndHaveNamesOfTheirOwn) {
  for (auto const& [name, entry] : selections()) {
    EXPECT_FALSE(schedulers().contains(name));
    EXPECT_EQ(&policy_named(name), &entry.policy);
    EXPECT_EQ(shards::codecs().at(name).kind, shards::CodecKind::selection);
  }
}

}   // namespace
}   // namespace pikv::test
