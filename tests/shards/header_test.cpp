#include "shards/header.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

namespace pikv::shards {
namespace {

using kernels::DType;
using kernels::PageLayout;

struct Page {
  PageHeader header;
  std::vector<std::byte> payload;
};

constexpr Fingerprint model{.hi = 0x1111, .lo = 0x2222};

Page sealed_page(PageLayout const& layout, Block block = 5) {
  std::mt19937 random{static_cast<unsigned>(block)};
  Page page;
  page.payload.resize(layout.bytes());
  for (std::byte& byte : page.payload) byte = static_cast<std::byte>(random());
  page.header.key = {.stream = {.hi = 17, .lo = 42},
                     .layer = 3,
                     .head_begin = 0,
                     .head_end = static_cast<std::uint16_t>(layout.kv_heads),
                     .block = block};
  page.header.generation = 9;
  page.header.epoch = 1;
  page.header.push = 77;
  page.header.step = 1234;
  page.header.first_position = first_position(block, layout.page_tokens);
  page.header.tokens = static_cast<std::uint32_t>(layout.page_tokens);
  page.header.fingerprint = model;
  seal(page.header, page.payload, layout);
  return page;
}

constexpr PageLayout small{DType::bf16, 2, 4, 8};

/// On what claims to be sealed_page(small).
Verdict verdict_on(Page const& page) { return verify(page.header, page.payload, sealed_page(small).header.key, 9, model); }

class HeaderLayouts : public ::testing::TestWithParam<PageLayout> {};

TEST_P(HeaderLayouts, ASealedPageIsGood) {
  Page const page = sealed_page(GetParam());
  EXPECT_EQ(page.header.checksums, std::min(2u * static_cast<unsigned>(GetParam().kv_heads), 16u));
  EXPECT_EQ(page.header.payload_bytes, page.payload.size());
  EXPECT_EQ(verify(page.header, page.payload, page.header.key, 9, model), Verdict::good);
  EXPECT_EQ(verify_arrived(page.header, page.payload, 9, model), Verdict::good);
}

TEST_P(HeaderLayouts, EveryDamagedPayloadByteIsSeen) {
  Page page = sealed_page(GetParam());
  for (std::size_t i = 0; i < page.payload.size(); ++i) {
    page.payload[i] ^= static_cast<std::byte>(1u << (i % 8));
    ASSERT_EQ(verify_arrived(page.header, page.payload, 9, model), Verdict::bad_payload) << "byte " << i;
    page.payload[i] ^= static_cast<std::byte>(1u << (i % 8));
  }
  EXPECT_EQ(verify_arrived(page.header, page.payload, 9, model), Verdict::good);
}

INSTANTIATE_TEST_SUITE_P(Shapes, HeaderLayouts,
                         ::testing::Values(PageLayout{DType::bf16, 1, 1, 1}, small, PageLayout{DType::f32, 3, 8, 5},
                                           PageLayout{DType::f16, 8, 4, 16}, PageLayout{DType::bf16, 12, 2, 7},
                                           PageLayout{DType::f32, 17, 1, 3}));

TEST(Header, ASliceIsOneHeadWhileThereAreSlicesForAll) {
  Page page = sealed_page(small);
  auto const before = page.header.checksum;
  std::size_t const head_bytes = page.payload.size() / 4;
  page.payload[2 * head_bytes] ^= std::byte{1};               // first byte of V head 0
  seal(page.header, page.payload, small);
  EXPECT_EQ(page.header.checksum[0], before[0]);
  EXPECT_EQ(page.header.checksum[1], before[1]);
  EXPECT_NE(page.header.checksum[2], before[2]);
  EXPECT_EQ(page.header.checksum[3], before[3]);
}

TEST(Header, SealedAgainWithFewerSlicesTheUnusedChecksumsAreZero) {
  constexpr PageLayout eight_heads{DType::f16, 8, 4, 16};
  Page page = sealed_page(eight_heads);
  seal(page.header, page.payload, small);
  EXPECT_EQ(page.header.checksums, 4u);
  for (std::size_t i = 4; i < max_checksums; ++i) EXPECT_EQ(page.header.checksum[i], 0u);
}

TEST(Header, NoSingleFlippedBitOfTheHeaderPasses) {
  Page const whole = sealed_page(small);
  for (std::size_t bit = 0; bit < header_bytes * 8; ++bit) {
    Page page = whole;
    reinterpret_cast<unsigned char*>(&page.header)[bit / 8] ^= static_cast<unsigned char>(1u << (bit % 8));
    Verdict const expected = bit >= 252 * 8 ? Verdict::not_ready : Verdict::bad_header;
    ASSERT_EQ(verdict_on(page), expected) << "bit " << bit;
    ASSERT_EQ(verify_arrived(page.header, page.payload, 9, model), expected) << "bit " << bit;
  }
}

TEST(Header, AZeroedOrFreshHeaderNeverVerifies) {
  std::vector<std::byte> const payload(small.bytes());
  PageHeader header{};
  EXPECT_EQ(verify_arrived(header, payload, 0, {}), Verdict::not_ready);
  std::memset(static_cast<void*>(&header), 0, sizeof header);
  EXPECT_EQ(verify_arrived(header, payload, 0, {}), Verdict::not_ready);
  header.state = PageState::ready;
  EXPECT_EQ(verify_arrived(header, payload, 0, {}), Verdict::bad_header);
}

TEST(Header, ATruncatedPayloadIsBadAtEveryLength) {
  Page const page = sealed_page(small);
  for (std::size_t bytes = 0; bytes < page.payload.size(); ++bytes) {
    ASSERT_EQ(verify_arrived(page.header, std::span{page.payload}.first(bytes), 9, model), Verdict::bad_payload) << bytes;
  }
}

TEST(Header, BytesBeyondThePayloadDoNotMatter) {
  Page page = sealed_page(small);
  page.payload.resize(slot_bytes_for(page.payload.size()), std::byte{0xEE});
  EXPECT_EQ(verify_arrived(page.header, page.payload, 9, model), Verdict::good);
}

TEST(Header, APageWhoseHalvesAreSwappedIsBad) {
  Page page = sealed_page(small);
  std::rotate(page.payload.begin(), page.payload.begin() + static_cast<std::ptrdiff_t>(page.payload.size() / 2), page.payload.end());
  EXPECT_EQ(verdict_on(page), Verdict::bad_payload);
}

TEST(Header, AnotherPageIsRefusedAndTheVerdictSaysWhatDiffers) {
  Page const page = sealed_page(small);
  auto const verdict_for = [&](auto change) {
    PageKey key = page.header.key;
    change(key);
    return verify(page.header, page.payload, key, 9, model);
  };
  EXPECT_EQ(verdict_for([](PageKey& key) { key.block = 6; }), Verdict::wrong_key);
  EXPECT_EQ(verdict_for([](PageKey& key) { key.layer = 4; }), Verdict::wrong_key);
  EXPECT_EQ(verdict_for([](PageKey& key) { key.stream.lo = 43; }), Verdict::wrong_key);
  EXPECT_EQ(verdict_for([](PageKey& key) { key.stream.hi = 18; }), Verdict::wrong_key);
  EXPECT_EQ(verdict_for([](PageKey& key) { key.head_begin = 1; }), Verdict::wrong_key);
  EXPECT_EQ(verdict_for([](PageKey& key) { key.head_end = 1; }), Verdict::wrong_key);
  EXPECT_EQ(verify(page.header, page.payload, page.header.key, 10, model), Verdict::wrong_generation);
  EXPECT_EQ(verify(page.header, page.payload, page.header.key, 8, model), Verdict::wrong_generation);
  EXPECT_EQ(verify(page.header, page.payload, page.header.key, 9, {.hi = 0x1111, .lo = 0x2223}), Verdict::wrong_model);
  EXPECT_EQ(verify_arrived(page.header, page.payload, 9, {.hi = 0x1110, .lo = 0x2222}), Verdict::wrong_model);
}

TEST(Header, StampedForAnotherSlotItIsGoodThereAndOnlyThere) {
  Page page = sealed_page(small);
  page.header.generation = 12;
  page.header.epoch = 2;
  page.header.push = 78;
  EXPECT_EQ(verify_arrived(page.header, page.payload, 12, model), Verdict::bad_header);
  stamp(page.header);
  EXPECT_EQ(verify_arrived(page.header, page.payload, 12, model), Verdict::good);
  EXPECT_EQ(verify_arrived(page.header, page.payload, 9, model), Verdict::wrong_generation);
  page.payload[0] ^= std::byte{1};
  stamp(page.header);
  EXPECT_EQ(verify_arrived(page.header, page.payload, 12, model), Verdict::bad_payload);
}

TEST(Header, SwappedHeadersOrPayloadsOfTwoPagesAreRefused) {
  Page const mine = sealed_page(small, 5), other = sealed_page(small, 6);
  EXPECT_EQ(verify(other.header, other.payload, mine.header.key, 9, model), Verdict::wrong_key);
  EXPECT_EQ(verify(mine.header, other.payload, mine.header.key, 9, model), Verdict::bad_payload);
}

TEST(Header, WhatIsWrongFirstInTheDocumentedOrderIsNamed) {
  Page page = sealed_page(small);
  page.payload[0] ^= std::byte{1};
  PageKey key = page.header.key;
  key.block = 6;
  EXPECT_EQ(verify(page.header, page.payload, key, 8, {}), Verdict::wrong_model);
  EXPECT_EQ(verify(page.header, page.payload, key, 8, model), Verdict::wrong_key);
  EXPECT_EQ(verify(page.header, page.payload, page.header.key, 8, model), Verdict::wrong_generation);
  page.header.push ^= 1;
  EXPECT_EQ(verify(page.header, page.payload, key, 8, {}), Verdict::bad_header);
  page.header.state = PageState::empty;
  EXPECT_EQ(verify(page.header, page.payload, key, 8, {}), Verdict::not_ready);
}

TEST(Header, AForgedHeaderOfAnotherFormatIsBadEvenWithAValidCheck) {
  Page page = sealed_page(small);
  auto const resealed = [&](auto change) {
    Page forged = page;
    change(forged.header);
    seal(forged.header, forged.payload, small);   // makes the header check right for what `change` wrote
    return verdict_on(forged);
  };
  EXPECT_EQ(resealed([](PageHeader& header) { header.magic ^= 1; }), Verdict::bad_header);
  EXPECT_EQ(resealed([](PageHeader& header) { header.layout = 2; }), Verdict::bad_header);
  EXPECT_EQ(resealed([](PageHeader&) {}), Verdict::good);
  Page headless = page;
  seal(headless.header, headless.payload, {DType::bf16, 0, 4, 8});   // no slices: nothing would guard the payload
  EXPECT_EQ(verdict_on(headless), Verdict::bad_header);
}

TEST(Header, BytesLieWhereTheDocumentSaysInLittleEndian) {
  Page const page = sealed_page(small);
  auto const* const bytes = reinterpret_cast<unsigned char const*>(&page.header);
  EXPECT_EQ(std::memcmp(bytes, "PiKVPG1\0", 8), 0);
  EXPECT_EQ(std::memcmp(bytes + 252, "REDY", 4), 0);
  unsigned char const layout_layer_heads_block[] = {3, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0};
  EXPECT_EQ(std::memcmp(bytes + 32, layout_layer_heads_block, sizeof layout_layer_heads_block), 0);
  unsigned char const step[] = {0xD2, 0x04, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(std::memcmp(bytes + 72, step, sizeof step), 0);
}

}  // namespace
}  // namespace pikv::shards
