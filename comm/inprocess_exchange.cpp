#include "comm/inprocess_exchange.hpp"

namespace pikv::comm {
namespace {

std::shared_ptr<FrameBuffers> own_buffers(World const& world, ExchangeOptions const& options, InprocessChannel& channel) {
  auto& mine = channel.out[static_cast<std::size_t>(world.rank())];
  mine = std::make_shared<FrameBuffers>(world.size(), options.peer_bytes);
  return mine;
}

}  // namespace

InprocessExchange::InprocessExchange(World& world, ExchangeOptions const& options, std::shared_ptr<InprocessChannel> channel)
    : FramedExchange{world, options, own_buffers(world, options, *channel)}, channel_{std::move(channel)} {}

void InprocessExchange::send(Rank to, std::span<std::byte const> frame) { sent(world().rank(), to) = {round() + 1, frame.size()}; }

bool InprocessExchange::all_arrived() {
  for (Rank from = 0; from < world().size(); ++from)
    if (from != world().rank() && !has_arrived(from)) return false;
  return true;
}

bool InprocessExchange::has_arrived(Rank from) const { return sent(from, world().rank()).rounds == round() + 1; }

std::span<std::byte const> InprocessExchange::arrived_frame(Rank from) const {
  auto const frame = channel_->out[static_cast<std::size_t>(from)]->frame(round(), world().rank());
  return frame.first(sent(from, world().rank()).bytes);
}

}  // namespace pikv::comm
