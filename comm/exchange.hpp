#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/deadline.hpp"
#include "comm/rank.hpp"

namespace pikv::comm {

struct ExchangeOptions {
  std::string name;                // "queries", for messages to the user
  int channel = 0;                 // unique among the exchanges of a world; the same on all ranks
  std::size_t peer_bytes = 0;      // the most one message can hold: a receive of this size is posted per peer
};

/// Counts, exact, since construction. Self-messages are counted apart: they cross nothing.
struct ExchangeCounts {
  std::uint64_t exchanges = 0;
  std::uint64_t messages = 0;      // sent to other ranks (empty ones included: they too are messages)
  std::uint64_t bytes_to_host = 0;     // payload bytes sent to other ranks of this host
  std::uint64_t bytes_to_remote = 0;   // payload bytes sent to other hosts
  std::uint64_t bytes_to_self = 0;
};

/// One all-to-all channel, the only collective on the data path. Every member sends every member (itself included)
/// one message per round, possibly empty. Round: fill outgoing(r) for each r, start(), compute, finish(), read
/// incoming(r). Buffers belong to the exchange and are reused: no allocation after construction.
/// start() or finish() out of turn throws std::logic_error. Do not spin on test(): World::wait lets the others run.
/// Each message to another rank is framed with round number, length and a checksum; a frame that fails them ends finish() as `corrupt`.
class Exchange {
 public:
  virtual ~Exchange() = default;

  /// A message under construction. Writing more than peer_bytes throws std::length_error (a bug of ours).
  class Outgoing {
   public:
    virtual ~Outgoing() = default;
    /// The next `bytes` bytes of the message to `to`, to be filled before start(). 8-byte aligned if all parts are.
    virtual std::span<std::byte> append(std::size_t bytes) = 0;
    virtual std::size_t size() const = 0;
  };
  virtual Outgoing& outgoing(Rank to) = 0;

  virtual void start() = 0;
  /// Drives progress; true when finish() would not wait.
  virtual bool test() = 0;
  /// After arrived: incoming() is valid until the next start(), outgoing() is empty again. After anything else the
  /// exchange is unusable and blame() tells which ranks did not answer (or sent the corrupt frame).
  virtual Status finish(Deadline deadline) = 0;
  virtual std::span<std::byte const> incoming(Rank from) const = 0;
  virtual std::vector<Rank> blame() const = 0;

  virtual ExchangeOptions const& options() const = 0;
  virtual ExchangeCounts const& counts() const = 0;
  /// Bytes of all its buffers, as allocated.
  virtual std::size_t buffer_bytes() const = 0;
};

}  // namespace pikv::comm
