#include "comm/frame.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace pikv::comm {
namespace {

constexpr std::uint64_t round_number = 41;

std::vector<std::byte> sealed(std::size_t payload_bytes) {
  std::vector<std::byte> frame(sizeof(FrameHeader) + payload_bytes + 100, std::byte{0x5a});
  frame.resize(seal_frame(frame, round_number, payload_bytes));
  return frame;
}

TEST(Frame, HoldsItsPayload) {
  for (std::size_t const bytes : {0, 1, 8, 1000}) {
    auto const frame = sealed(bytes);
    auto const payload = open_frame(frame, round_number);
    ASSERT_TRUE(payload);
    EXPECT_EQ(payload->size(), bytes);
    EXPECT_TRUE(std::ranges::all_of(*payload, [](std::byte b) { return b == std::byte{0x5a}; }));
  }
}

TEST(Frame, OfAnotherRoundIsRefused) { EXPECT_FALSE(open_frame(sealed(8), round_number + 1)); }

TEST(Frame, CutShortAnywhereIsRefused) {
  auto const frame = sealed(16);
  for (std::size_t bytes = 0; bytes < frame.size(); ++bytes) EXPECT_FALSE(open_frame(std::span{frame}.first(bytes), round_number)) << bytes;
}

TEST(Frame, WithAnyBitFlippedIsRefused) {
  auto frame = sealed(16);
  for (std::size_t bit = 0; bit < 8 * frame.size(); ++bit) {
    auto const mask = static_cast<std::byte>(1u << (bit % 8));
    frame[bit / 8] ^= mask;
    EXPECT_FALSE(open_frame(frame, round_number)) << bit;
    frame[bit / 8] ^= mask;
  }
  EXPECT_TRUE(open_frame(frame, round_number));
}

TEST(FrameBuffers, KeepsTwoRoundsOfEveryPeerApart) {
  FrameBuffers const buffers{3, 10};
  std::vector<std::byte const*> starts;
  for (std::uint64_t round = 0; round < 2; ++round)
    for (Rank peer = 0; peer < 3; ++peer) {
      auto const frame = buffers.frame(round, peer);
      EXPECT_EQ(frame.size(), sizeof(FrameHeader) + 10);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(frame.data()) % 8, 0u);
      EXPECT_EQ(frame.data(), buffers.frame(round + 2, peer).data());
      starts.push_back(frame.data());
    }
  std::ranges::sort(starts);
  for (std::size_t i = 1; i < starts.size(); ++i) EXPECT_GE(static_cast<std::size_t>(starts[i] - starts[i - 1]), sizeof(FrameHeader) + 10);
}

}  // namespace
}  // namespace pikv::comm
