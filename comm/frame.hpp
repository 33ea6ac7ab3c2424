#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "comm/rank.hpp"

namespace pikv::comm {

/// What travels in front of every message of an exchange, little-endian. Each of its bits is checked on arrival.
struct FrameHeader {
  std::uint64_t round = 0;           // of the exchange, from 0
  std::uint64_t payload_bytes = 0;
  std::uint64_t checksum = 0;        // xxh3 (64 bit) of the payload
};
static_assert(sizeof(FrameHeader) % 8 == 0, "payloads are 8-byte aligned");

/// Writes the header of a frame whose first `payload_bytes` after the header are filled; returns the frame's bytes.
std::size_t seal_frame(std::span<std::byte> frame, std::uint64_t round, std::size_t payload_bytes);

/// The payload of a frame as it arrived, or nothing if it is of another round, cut short or damaged.
std::optional<std::span<std::byte const>> open_frame(std::span<std::byte const> frame, std::uint64_t round);

/// Two frames per peer, used by even and odd rounds: one may still be read while the other is filled.
class FrameBuffers {
 public:
  FrameBuffers(int peers, std::size_t peer_bytes);
  /// In the given memory, of bytes_for(peers, peer_bytes).
  FrameBuffers(int peers, std::size_t peer_bytes, std::shared_ptr<std::byte[]> memory);
  static std::size_t bytes_for(int peers, std::size_t peer_bytes);
  std::span<std::byte> frame(std::uint64_t round, Rank peer) const;
  std::size_t bytes() const { return 2 * static_cast<std::size_t>(peers_) * stride_; }

 private:
  int peers_;
  std::size_t frame_bytes_;
  std::size_t stride_;
  std::shared_ptr<std::byte[]> memory_;
};

}  // namespace pikv::comm
