#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/deadline.hpp"
#include "comm/exchange.hpp"
#include "comm/function_ref.hpp"
#include "comm/rank.hpp"
#include "comm/transport.hpp"

namespace pikv::comm {

using Bytes = std::vector<std::byte>;

/// What a rank says when it cannot go on: {lowest rank in trouble, its sentence}.
struct Trouble {
  Rank rank = 0;
  std::string text;
};

/// This rank, the members, a clock, and how to wait. Three implementations: in process (threads that pass a baton,
/// virtual time), MPI, and one rank alone. Not thread-safe: a rank calls it from its own main thread only.
class World {
 public:
  virtual ~World() = default;

  virtual Rank rank() const = 0;
  virtual int size() const = 0;
  /// 0-based number of the host a rank runs on; ranks with equal numbers share memory.
  virtual int host(Rank rank) const = 0;
  virtual std::string host_name(Rank rank) const = 0;
  int hosts() const;
  /// True where all ranks are threads of this process (HDF5 and stdout then belong to rank 0 alone).
  virtual bool in_process() const = 0;

  /// What carries bytes to the other ranks, for the line at start: "UCX 1.13.1, posix/memory to 3 of 3 other ranks".
  virtual std::string data_path() const = 0;
  /// Why this rank's transports have no device memory and what to do, for the end of a sentence; empty: they have.
  virtual std::string why_no_device_memory() const { return "this transport moves none; choose --transport ucx"; }

  /// Known to have ended, or to be silent for too long. False where nobody can tell.
  virtual bool known_gone(Rank) const { return false; }

  /// Seconds since the world was made; virtual in process, so that the same seed gives the same run.
  virtual double now() const = 0;
  Deadline in(double seconds) const { return {now() + seconds}; }

  /// Returns arrived once `ready()` is true, timeout at the deadline, peer_gone when another rank failed.
  /// Lets others run in between (passes the baton, drives MPI, yields the core) and serves what peers ask for.
  /// `ready` is called often and must be cheap.
  virtual Status wait(FunctionRef<bool()> ready, Deadline deadline) = 0;
  /// Sleeps (virtually, in process) for at most `seconds`, serving peers meanwhile.
  void pause(double seconds);

  /// Set-up only: collective, each rank brings bytes of any length and gets everyone's, by rank.
  /// Throws RunError naming the missing rank at the deadline.
  virtual std::vector<Bytes> all_gather(std::span<std::byte const> mine, Deadline deadline) = 0;
  void barrier(Deadline deadline) { (void)all_gather({}, deadline); }
  /// Set-up only, collective. The trouble of the lowest rank that has one (text not empty), on every rank.
  std::optional<Trouble> first_trouble(std::string const& mine, Deadline deadline);

  /// A channel of all-to-all messages; see exchange.hpp. Collective: the same arguments on every rank, same order.
  virtual std::unique_ptr<Exchange> make_exchange(ExchangeOptions const& options) = 0;
  /// One-sided memory; see transport.hpp. Collective.
  virtual std::unique_ptr<Transport> make_transport() = 0;

  /// Arms a watchdog around a call that may block without our wait (a collective of HDF5, MPI_Win_flush): when the
  /// guard still lives `seconds` (of real time) later, prints "pikv: error: rank R: WHAT did not end in N s ..." and
  /// aborts the job with code 1. `what` must outlive the guard. May nest.
  class Guard {
   public:
    virtual ~Guard() = default;
  };
  virtual std::unique_ptr<Guard> guard(char const* what, double seconds) = 0;

  /// Ends every rank with `code` after printing `pikv: error: rank R: SENTENCE` once. In process it throws RunError
  /// (InputError if code is 2) "rank R: SENTENCE" here and makes every other rank's wait return peer_gone.
  [[noreturn]] virtual void abort(int code, std::string const& sentence) = 0;
};

/// After peer_gone: "rank 3 on node2 ended or fell silent; see its own message, or look at that host", as far as the world knows which.
std::string gone_ranks_sentence(World const& world);

/// One rank, no peers, wall-clock time. For `pikv` started without mpirun by tools that want no MPI, and for unit tests.
std::unique_ptr<World> make_solo_world();

}  // namespace pikv::comm
