#include <array>
#include <cstring>
#include <exception>
#include <map>
#include <vector>

#include "comm/setup.hpp"
#include "comm/ucx_world.hpp"

namespace pikv::comm {
namespace {

/// Frames as they come in, two per peer: a fast peer may already send the next round. Handlers write here, under the worker's lock.
class UcxInbox {
 public:
  UcxInbox(int ranks, std::size_t peer_bytes) : frames_{ranks, peer_bytes} {
    for (auto& round : arrivals_) round = std::vector<Arrival>(static_cast<std::size_t>(ranks));
  }

  void take(UcxWorker& worker, UcxArrival const& message) {
    Rank const from = message.header.from;
    Arrival& arrival = at(message.header.number, from);
    auto const frame = frames_.frame(message.header.number, from);
    bool const fits = message.bytes <= frame.size() && arrival.state == State::awaited;
    if (!fits) {   // an empty frame fails its check: the message is corrupt
      arrival.bytes = 0;
      arrival.state = State::here;
      return;
    }
    arrival.bytes = message.bytes;
    arrival.state = State::coming;
    if (message.at_sender) return worker.receive(message, frame, arrival);
    std::memcpy(frame.data(), message.data, message.bytes);
    arrival.state = State::here;
  }

  bool has(std::uint64_t round, Rank from) const { return at(round, from).state == State::here; }
  std::span<std::byte const> frame(std::uint64_t round, Rank from) const { return frames_.frame(round, from).first(at(round, from).bytes); }
  void clear(std::uint64_t round) {
    for (Arrival& arrival : arrivals_[round % 2]) arrival.state = State::awaited;
  }
  std::size_t bytes() const { return frames_.bytes(); }

 private:
  enum class State { awaited, coming, here };
  struct Arrival : UcxCompletion {
    void done(ucs_status_t status) override {
      if (status == UCS_OK) state = State::here;   // else its sender is gone, and the wait ends as that
    }
    State state = State::awaited;
    std::size_t bytes = 0;
  };
  Arrival& at(std::uint64_t round, Rank from) { return arrivals_[round % 2][static_cast<std::size_t>(from)]; }
  Arrival const& at(std::uint64_t round, Rank from) const { return arrivals_[round % 2][static_cast<std::size_t>(from)]; }

  FrameBuffers frames_;
  std::array<std::vector<Arrival>, 2> arrivals_;   // [round % 2][peer]
};

/// Frames on their way out, by round. A failed send needs no word: its peer is gone.
struct UcxOutbox {
  struct Sends : UcxCompletion {
    void done(ucs_status_t) override { --under_way; }
    int under_way = 0;
    std::vector<UcxHeader> headers;   // [peer]
  };
  explicit UcxOutbox(std::shared_ptr<FrameBuffers> out) : frames{std::move(out)} {}
  std::shared_ptr<FrameBuffers> frames;
  std::array<Sends, 2> sends;   // [round % 2]
};

class UcxExchange : public FramedExchange {
 public:
  UcxExchange(UcxWorld& world, ExchangeOptions const& options)
      : UcxExchange{world, options, std::make_shared<FrameBuffers>(world.size(), options.peer_bytes)} {}
  ~UcxExchange() override;

  std::size_t buffer_bytes() const override { return out_->frames->bytes() + in_->bytes(); }

 private:
  UcxExchange(UcxWorld& world, ExchangeOptions const& options, std::shared_ptr<FrameBuffers> frames);

  void send(Rank to, std::span<std::byte const> frame) override;
  bool all_arrived() override;
  bool has_arrived(Rank from) const override {
    UcxWorker::Lock const lock{worker_.mutex()};
    return in_->has(round(), from);
  }
  std::span<std::byte const> arrived_frame(Rank from) const override { return in_->frame(round(), from); }
  void next_round() override {
    UcxWorker::Lock const lock{worker_.mutex()};
    in_->clear(round() + 1);   // what was just read; the next round's frames may be here already
  }
  bool whole_round_is_here();

  UcxWorker& worker_;
  std::shared_ptr<UcxOutbox> out_;
  std::shared_ptr<UcxInbox> in_;
};

UcxExchange::UcxExchange(UcxWorld& world, ExchangeOptions const& options, std::shared_ptr<FrameBuffers> frames)
    : FramedExchange{world, options, frames},
      worker_{world.worker()},
      out_{std::make_shared<UcxOutbox>(std::move(frames))},
      in_{std::make_shared<UcxInbox>(world.size(), options.peer_bytes)} {
  for (auto& sends : out_->sends) {
    sends.headers.resize(static_cast<std::size_t>(world.size()));
    for (UcxHeader& header : sends.headers) header = {world.rank(), options.channel, 0, 0, 0};
  }
  worker_.on(UcxMessage::frame, options.channel, [in = in_, &worker = worker_](UcxArrival const& message) { in->take(worker, message); });
  world.barrier(world.in(setup_seconds));   // nobody sends before all listen
}

UcxExchange::~UcxExchange() {
  worker_.no_longer_on(UcxMessage::frame, options().channel);
  auto const sent = [this] {
    worker_.progress();
    UcxWorker::Lock const lock{worker_.mutex()};
    return out_->sends[0].under_way + out_->sends[1].under_way == 0;
  };
  bool const calm = !failed() && std::uncaught_exceptions() == 0;
  if (calm && world().wait(sent, world().in(setup_seconds)) == Status::arrived) return;
  worker_.keep(out_);
  worker_.keep(in_);
}

void UcxExchange::send(Rank to, std::span<std::byte const> frame) {
  UcxWorker::Lock const lock{worker_.mutex()};
  auto& sends = out_->sends[round() % 2];
  UcxHeader& header = sends.headers[static_cast<std::size_t>(to)];
  header.number = round();
  ++sends.under_way;
  worker_.send(to, UcxMessage::frame, header, frame, sends);
}

bool UcxExchange::all_arrived() {
  UcxWorker::Lock const lock{worker_.mutex()};
  if (whole_round_is_here()) return true;
  worker_.progress_locked();
  return whole_round_is_here();
}

bool UcxExchange::whole_round_is_here() {
  if (out_->sends[(round() + 1) % 2].under_way > 0) return false;   // the next round writes where the last one was sent from
  for (Rank from = 0; from < world().size(); ++from)
    if (from != world().rank() && !in_->has(round(), from)) return false;
  return true;
}

}  // namespace

std::unique_ptr<Exchange> make_ucx_exchange(UcxWorld& world, ExchangeOptions const& options) {
  return std::make_unique<UcxExchange>(world, options);
}

}  // namespace pikv::comm
