#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "comm/exchange.hpp"
#include "comm/frame.hpp"
#include "comm/world.hpp"

namespace pikv::comm {

/// What all exchanges share: messages under construction, frames, counts, the order of calls. A backend adds how frames
/// cross to other ranks; the message to itself never leaves the outgoing buffer.
class FramedExchange : public Exchange {
 public:
  /// Collective: throws std::logic_error on every rank if the ranks' options differ.
  FramedExchange(World& world, ExchangeOptions const& options, std::shared_ptr<FrameBuffers> out);

  Outgoing& outgoing(Rank to) final { return writers_[static_cast<std::size_t>(to)]; }
  void start() final;
  bool test() final { return all_arrived(); }
  Status finish(Deadline deadline) final;
  std::span<std::byte const> incoming(Rank from) const final { return incoming_[static_cast<std::size_t>(from)]; }
  std::vector<Rank> blame() const final { return blame_; }
  ExchangeOptions const& options() const final { return options_; }
  ExchangeCounts const& counts() const final { return counts_; }

  bool may_start() const { return state_ == State::filling; }

  /// For fault injection: is handed each sealed frame to another rank, may damage it, and returns how many of its
  /// bytes to send, or nothing if it shall never be sent.
  using Tamper = std::function<std::optional<std::size_t>(Rank to, std::span<std::byte> frame)>;
  void set_tamper(Tamper tamper) { tamper_ = std::move(tamper); }

 protected:
  std::uint64_t round() const { return round_; }
  World& world() const { return world_; }
  FrameBuffers const& out() const { return *out_; }
  bool failed() const { return state_ == State::failed; }

 private:
  /// Sends a frame of this round; its memory is not written again before the round after next.
  virtual void send(Rank to, std::span<std::byte const> frame) = 0;
  /// Called when every frame of this round that is sent at all has been given to send().
  virtual void all_given() {}
  /// Drives progress; true when this round's frames of all other ranks are here.
  virtual bool all_arrived() = 0;
  virtual bool has_arrived(Rank from) const = 0;
  /// This round's frame from another rank, as it came.
  virtual std::span<std::byte const> arrived_frame(Rank from) const = 0;
  /// Called when a wait ended without them: who has not sent is asked next, for the last time.
  virtual void give_up() {}
  /// Called when round() has just become the next one.
  virtual void next_round() {}

  class Writer : public Outgoing {
   public:
    Writer(FramedExchange const& exchange, Rank to) : exchange_{exchange}, to_{to} {}
    std::span<std::byte> append(std::size_t bytes) override;
    std::size_t size() const override { return size_; }
    void clear() { size_ = 0; }

   private:
    FramedExchange const& exchange_;
    Rank to_;
    std::size_t size_ = 0;
  };
  enum class State { filling, started, failed };

  void expect(State state, char const* call) const;
  void send_or_tamper(Rank to, std::span<std::byte> frame);
  void blame_the_gone();
  void count(Rank to, std::size_t bytes);

  World& world_;
  ExchangeOptions options_;
  std::shared_ptr<FrameBuffers> out_;
  std::vector<Writer> writers_;
  std::vector<std::span<std::byte const>> incoming_;
  std::vector<Rank> blame_;
  ExchangeCounts counts_;
  Tamper tamper_;
  std::uint64_t round_ = 0;
  State state_ = State::filling;
};

}  // namespace pikv::comm
