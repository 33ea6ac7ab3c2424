#include "shards/codec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "comm/error.hpp"

namespace pikv::shards {
namespace {

constexpr kernels::PageLayout layout{kernels::DType::f32, 2, 8, 6};

TEST(Codecs, EachNameMakesACodecWithAnIdOfItsOwn) {
  std::set<std::uint32_t> ids;
  for (auto const& [name, entry] : codecs()) {
    auto const codec = make_codec(name);
    ASSERT_NE(codec, nullptr) << name;
    EXPECT_TRUE(ids.insert(codec->id()).second) << name;
    EXPECT_FALSE(entry.sentence.empty()) << name;
  }
}

TEST(Codecs, EachStatesItsSizeExactly) {
  for (auto const& [name, entry] : codecs()) {
    auto const codec = make_codec(name);
    EXPECT_EQ(static_cast<double>(codec->payload_bytes(layout)), codec->stated_ratio(layout) * static_cast<double>(layout.bytes())) << name;
  }
}

TEST(Codecs, AnUnknownNameIsAnErrorThatListsTheNames) {
  try {
    (void)make_codec("zip");
    FAIL() << "zip was accepted";
  } catch (InputError const& error) {
    EXPECT_STREQ(error.what(), "no codec named 'zip'; choose one of: none");
  }
}

TEST(CodecNone, KeepsEveryByteOfThePageAndWritesNoMore) {
  auto const codec = make_codec("none");
  std::vector<std::byte> page(layout.bytes());
  for (std::size_t i = 0; i < page.size(); ++i) page[i] = static_cast<std::byte>(i * 37);
  std::vector<std::byte> payload(layout.bytes() + 8, std::byte{0xEE});
  codec->encode(layout, page, payload);
  EXPECT_TRUE(std::equal(page.begin(), page.end(), payload.begin()));
  EXPECT_THAT(std::vector(payload.end() - 8, payload.end()), ::testing::Each(std::byte{0xEE}));
  EXPECT_EQ(codec->id(), 0u);
}

}  // namespace
}  // namespace pikv::shards
