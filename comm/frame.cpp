#include "comm/frame.hpp"

#include <cstring>

#include "comm/checksum.hpp"

namespace pikv::comm {
namespace {

std::size_t stride_for(std::size_t frame_bytes) { return (frame_bytes + 63) / 64 * 64; }

}  // namespace

std::size_t seal_frame(std::span<std::byte> frame, std::uint64_t round, std::size_t payload_bytes) {
  FrameHeader const header{round, payload_bytes, checksum(frame.subspan(sizeof(FrameHeader), payload_bytes))};
  std::memcpy(frame.data(), &header, sizeof header);
  return sizeof header + payload_bytes;
}

std::optional<std::span<std::byte const>> open_frame(std::span<std::byte const> frame, std::uint64_t round) {
  if (frame.size() < sizeof(FrameHeader)) return std::nullopt;
  FrameHeader header;
  std::memcpy(&header, frame.data(), sizeof header);
  auto const payload = frame.subspan(sizeof header);
  if (header.round != round || header.payload_bytes != payload.size()) return std::nullopt;
  if (header.checksum != checksum(payload)) return std::nullopt;
  return payload;
}

FrameBuffers::FrameBuffers(int peers, std::size_t peer_bytes)
    : FrameBuffers{peers, peer_bytes, std::make_unique_for_overwrite<std::byte[]>(bytes_for(peers, peer_bytes))} {}

FrameBuffers::FrameBuffers(int peers, std::size_t peer_bytes, std::shared_ptr<std::byte[]> memory)
    : peers_{peers}, frame_bytes_{sizeof(FrameHeader) + peer_bytes}, stride_{stride_for(frame_bytes_)}, memory_{std::move(memory)} {}

std::size_t FrameBuffers::bytes_for(int peers, std::size_t peer_bytes) {
  return 2 * static_cast<std::size_t>(peers) * stride_for(sizeof(FrameHeader) + peer_bytes);
}

std::span<std::byte> FrameBuffers::frame(std::uint64_t round, Rank peer) const {
  auto const index = (round % 2) * static_cast<std::size_t>(peers_) + static_cast<std::size_t>(peer);
  return {memory_.get() + index * stride_, frame_bytes_};
}

}  // namespace pikv::comm
