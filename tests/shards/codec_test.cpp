#include "shards/codec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/error.hpp"

namespace pikv::test {
namespace {

using namespace shards;
using ::testing::HasSubstr;

std::string refusal(std::string_view text) {
  try {
    (void)parse_codec(text, "--codec=" + std::string{text});
  } catch (InputError const& error) {
    return error.what();
  }
  return {};
}

TEST(Codec, EveryNameStandsAloneAndHasASentence) {
  for (auto const& [name, entry] : codecs()) {
    CodecSpec const spec = parse_codec(name, "--codec");
    EXPECT_EQ(spec.text, name);
    EXPECT_FALSE(entry.sentence.empty());
    EXPECT_EQ(spec.selection.has_value(), entry.kind == CodecKind::selection) << name;
    EXPECT_EQ(spec.map.has_value(), entry.kind == CodecKind::map) << name;
    EXPECT_EQ(spec.element.has_value(), entry.kind == CodecKind::element) << name;
  }
  EXPECT_TRUE(parse_codec("none", "--codec").stores_as_is());
}

TEST(Codec, StagesAreJoinedInOrder) {
  CodecSpec const spec = parse_codec("chunk_select:0.5+svd:32+int8", "--codec");
  EXPECT_EQ(spec.selection, (CodecStage{"chunk_select", .5}));
  EXPECT_EQ(spec.map, (CodecStage{"svd", 32.0}));
  EXPECT_EQ(spec.element, kernels::Element::int8);
  EXPECT_FALSE(spec.stores_as_is());
  EXPECT_TRUE(parse_codec("pyramid", "--codec").stores_as_is());
  EXPECT_EQ(parse_codec("rotate+mixed:2.5", "--codec").mean_bits, 2.5);
}

TEST(Codec, RefusesWhatItCannotReadNamingIt) {
  EXPECT_THAT(refusal("zip"), HasSubstr("--codec=zip is unknown: no codec is named 'zip'; choose of: "));
  EXPECT_THAT(refusal("int8+svd"), HasSubstr("in no order that works"));
  EXPECT_THAT(refusal("svd+lora"), HasSubstr("in no order that works"));
  EXPECT_THAT(refusal("none+int8"), HasSubstr("in no order that works"));
  EXPECT_THAT(refusal("svd:"), HasSubstr("has '' where the numbers kept"));
  EXPECT_THAT(refusal("svd:x"), HasSubstr("has 'x' where the numbers kept"));
  EXPECT_THAT(refusal("svd:-8"), HasSubstr("has '-8'"));
  EXPECT_THAT(refusal("svd:8.5"), HasSubstr("whole number"));
  EXPECT_THAT(refusal("int8:4"), HasSubstr("gives 'int8' a number, which it does not take"));
  EXPECT_THAT(refusal("mixed:1.9"), HasSubstr("asks for 1.9 bits a number on average; give 2 to 4"));
  EXPECT_THAT(refusal("mixed:5"), HasSubstr("give 2 to 4"));
  EXPECT_THAT(refusal("mixed:0"), HasSubstr("has '0' where the mean bits of a number should be"));
  EXPECT_THAT(refusal("svd+"), HasSubstr("ends with '+'"));
  EXPECT_THAT(refusal(""), HasSubstr("no codec is named ''"));
}

}  // namespace
}  // namespace pikv::test
