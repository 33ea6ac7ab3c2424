#pragma once

#include <array>
#include <memory>
#include <vector>

#include "comm/framed_exchange.hpp"

namespace pikv::comm {

/// One exchange as all ranks of this address space see it. Outlives the first rank that is done with it.
struct InprocessChannel {
  struct Sent {
    std::uint64_t rounds = 0;   // 1 + the last round sent; 0: none
    std::size_t bytes = 0;
  };
  explicit InprocessChannel(int ranks)
      : out(static_cast<std::size_t>(ranks)), sent(static_cast<std::size_t>(ranks), std::vector<std::array<Sent, 2>>(static_cast<std::size_t>(ranks))) {}
  std::vector<std::shared_ptr<FrameBuffers>> out;         // [from]
  std::vector<std::vector<std::array<Sent, 2>>> sent;     // [from][to][round % 2]
};

/// Messages are read where their sender wrote them: a round's frames are written again two rounds later only.
class InprocessExchange : public FramedExchange {
 public:
  InprocessExchange(World& world, ExchangeOptions const& options, std::shared_ptr<InprocessChannel> channel);
  std::size_t buffer_bytes() const override { return out().bytes(); }

 private:
  void send(Rank to, std::span<std::byte const> frame) override;
  bool all_arrived() override;
  bool has_arrived(Rank from) const override;
  std::span<std::byte const> arrived_frame(Rank from) const override;
  InprocessChannel::Sent& sent(Rank from, Rank to) const {
    return channel_->sent[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)][round() % 2];
  }

  std::shared_ptr<InprocessChannel> channel_;
};

}  // namespace pikv::comm
