#include "comm/framed_exchange.hpp"

#include <fmt/format.h>

#include <array>
#include <stdexcept>

#include "comm/setup.hpp"

namespace pikv::comm {

FramedExchange::FramedExchange(World& world, ExchangeOptions const& options, std::shared_ptr<FrameBuffers> out)
    : world_{world}, options_{options}, out_{std::move(out)}, incoming_(static_cast<std::size_t>(world.size())) {
  for (Rank r = 0; r < world.size(); ++r) writers_.emplace_back(*this, r);
  std::array const mine{static_cast<std::uint64_t>(options.channel), std::uint64_t{options.peer_bytes}};
  expect_same_everywhere(world, std::as_bytes(std::span{mine}), "exchange '" + options.name + "'");
}

void FramedExchange::start() {
  expect(State::filling, "start()");
  state_ = State::started;
  ++counts_.exchanges;
  for (Rank to = 0; to < world_.size(); ++to) {
    auto const frame = out_->frame(round_, to);
    auto const payload_bytes = writers_[static_cast<std::size_t>(to)].size();
    count(to, payload_bytes);
    if (to != world_.rank()) send_or_tamper(to, frame.first(seal_frame(frame, round_, payload_bytes)));
  }
  all_given();
}

void FramedExchange::send_or_tamper(Rank to, std::span<std::byte> frame) {
  if (!tamper_) return send(to, frame);
  if (auto const bytes = tamper_(to, frame)) send(to, frame.first(*bytes));
}

Status FramedExchange::finish(Deadline deadline) {
  expect(State::started, "finish()");
  Status const status = world_.wait([this] { return all_arrived(); }, deadline);
  if (status != Status::arrived) give_up();
  for (Rank from = 0; from < world_.size(); ++from) {
    bool const to_self = from == world_.rank();
    if (!to_self && !has_arrived(from)) {
      blame_.push_back(from);
      continue;
    }
    if (status != Status::arrived) continue;
    auto const own = out_->frame(round_, from).subspan(sizeof(FrameHeader), writers_[static_cast<std::size_t>(from)].size());
    auto const payload = to_self ? own : open_frame(arrived_frame(from), round_);
    if (payload) incoming_[static_cast<std::size_t>(from)] = *payload;
    else blame_.push_back(from);
  }
  if (status == Status::peer_gone) blame_the_gone();
  if (status != Status::arrived || !blame_.empty()) {
    state_ = State::failed;
    return status == Status::arrived ? Status::corrupt : status;
  }
  for (Writer& writer : writers_) writer.clear();
  ++round_;
  state_ = State::filling;
  next_round();
  return Status::arrived;
}

// Others may be silent because they too wait for one that is gone.
void FramedExchange::blame_the_gone() {
  std::vector<Rank> gone;
  for (Rank rank = 0; rank < world_.size(); ++rank)
    if (world_.known_gone(rank)) gone.push_back(rank);
  if (!gone.empty()) blame_ = gone;
}

std::span<std::byte> FramedExchange::Writer::append(std::size_t bytes) {
  auto const room = exchange_.options_.peer_bytes - size_;
  if (bytes > room)
    throw std::length_error(fmt::format("exchange '{}': {} bytes more do not fit the message to rank {} ({} of {} bytes are used)",
                                        exchange_.options_.name, bytes, to_, size_, exchange_.options_.peer_bytes));
  auto const part = exchange_.out_->frame(exchange_.round_, to_).subspan(sizeof(FrameHeader) + size_, bytes);
  size_ += bytes;
  return part;
}

void FramedExchange::expect(State state, char const* call) const {
  if (state_ != state) throw std::logic_error("exchange '" + options_.name + "': " + call + " out of turn");
}

void FramedExchange::count(Rank to, std::size_t bytes) {
  bool const same_host = world_.host(to) == world_.host(world_.rank());
  if (to == world_.rank()) {
    counts_.bytes_to_self += bytes;
    return;
  }
  ++counts_.messages;
  (same_host ? counts_.bytes_to_host : counts_.bytes_to_remote) += bytes;
}

}  // namespace pikv::comm
