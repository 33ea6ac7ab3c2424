#include <limits>
#include <optional>
#include <stdexcept>

#include "comm/fault_clock.hpp"
#include "comm/framed_exchange.hpp"

namespace pikv::comm {
namespace {

/// Damages sealed frames on their way out; a delay or stall holds back this rank's whole round.
class FaultyExchange : public Exchange, public Held {
 public:
  FaultyExchange(FaultClock& clock, std::unique_ptr<Exchange> inner);
  ~FaultyExchange() override { std::erase(clock_.held, this); }
  FaultyExchange(FaultyExchange const&) = delete;   // the clock refers to it

  Outgoing& outgoing(Rank to) override { return inner_->outgoing(to); }
  void start() override;
  bool test() override;
  Status finish(Deadline deadline) override;
  std::span<std::byte const> incoming(Rank from) const override { return inner_->incoming(from); }
  std::vector<Rank> blame() const override { return held_start_ ? std::vector<Rank>{clock_.world.rank()} : inner_->blame(); }
  ExchangeOptions const& options() const override { return inner_->options(); }
  ExchangeCounts const& counts() const override { return inner_->counts(); }
  std::size_t buffer_bytes() const override { return inner_->buffer_bytes(); }

  void advance() override;
  double next_due() const override { return held_start_.value_or(std::numeric_limits<double>::infinity()); }

 private:
  std::optional<std::size_t> tamper(Rank to, std::span<std::byte> frame);
  void expect(bool in_turn, char const* call) const;

  FaultClock& clock_;
  std::unique_ptr<Exchange> inner_;
  FramedExchange& framed_;              // the same
  std::vector<Draw> draws_;             // [peer], of this round
  std::optional<double> held_start_;    // when the round starts that start() was asked for
};

FaultyExchange::FaultyExchange(FaultClock& clock, std::unique_ptr<Exchange> inner)
    : clock_{clock}, inner_{std::move(inner)}, framed_{dynamic_cast<FramedExchange&>(*inner_)}, draws_(static_cast<std::size_t>(clock.world.size())) {
  framed_.set_tamper([this](Rank to, std::span<std::byte> frame) { return tamper(to, frame); });
  clock_.held.push_back(this);
}

void FaultyExchange::start() {
  expect(!held_start_ && framed_.may_start(), "start()");
  double due = clock_.due_after(Fault::none);
  for (Rank to = 0; to < clock_.world.size(); ++to) {
    if (to == clock_.world.rank()) continue;
    Draw& draw = draws_[static_cast<std::size_t>(to)];
    draw = clock_.source.draw(Operation::message, sizeof(FrameHeader) + inner_->outgoing(to).size());
    due = std::max(due, clock_.due_after(draw.fault));
  }
  if (due > clock_.world.now()) held_start_ = due;
  else inner_->start();
}

std::optional<std::size_t> FaultyExchange::tamper(Rank to, std::span<std::byte> frame) {
  Draw const& draw = draws_[static_cast<std::size_t>(to)];
  if (draw.fault == Fault::drop) return std::nullopt;
  if (draw.fault == Fault::truncate) return 1 + draw.detail % (frame.size() - 1);
  if (draw.fault == Fault::flip) flip_bit(frame, draw.detail);
  return frame.size();
}

void FaultyExchange::advance() {
  if (!held_start_ || clock_.world.now() < *held_start_) return;
  held_start_.reset();
  inner_->start();
}

bool FaultyExchange::test() {
  clock_.advance();
  return !held_start_ && inner_->test();
}

Status FaultyExchange::finish(Deadline deadline) {
  expect(held_start_ || !framed_.may_start(), "finish()");
  Status const status = clock_.world.wait([this] { return test(); }, deadline);
  return held_start_ ? status : inner_->finish({clock_.world.now()});
}

void FaultyExchange::expect(bool in_turn, char const* call) const {
  if (!in_turn) throw std::logic_error("exchange '" + options().name + "': " + call + " out of turn");
}

}  // namespace

std::unique_ptr<Exchange> make_faulty_exchange(FaultClock& clock, std::unique_ptr<Exchange> inner) {
  return std::make_unique<FaultyExchange>(clock, std::move(inner));
}

}  // namespace pikv::comm
