#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <random>

#include "comm/deadline.hpp"
#include "comm/function_ref.hpp"
#include "comm/rank.hpp"

namespace pikv::comm {

/// Lets one of several threads run at a time. The one that runs holds the baton; it hands it on in wait() and finish().
/// Who holds the baton evaluates what the others wait for, so nobody is woken in vain. All state belongs to the holder;
/// the mutex only orders the hand-over.
class InprocessScheduler {
 public:
  InprocessScheduler(int ranks, std::uint64_t seed);

  /// Blocks until this rank is let run for the first time.
  void start(Rank rank);
  Status wait(Rank rank, FunctionRef<bool()> ready, Deadline deadline);
  /// The rank runs no more. A failure makes every wait of the others return peer_gone at once.
  void finish(Rank rank, std::exception_ptr failure);
  void fail(std::exception_ptr failure);

  double now() const { return now_; }
  std::exception_ptr failure() const { return failure_; }

 private:
  enum class Phase { waiting, running, done };
  struct Member {
    Phase phase = Phase::waiting;
    std::optional<FunctionRef<bool()>> ready;   // on the stack of the blocked thread
    double deadline = std::numeric_limits<double>::infinity();
    std::optional<Status> outcome;              // how its wait ended, once known
    std::exception_ptr thrown;                  // by `ready`, while another thread evaluated it
    std::condition_variable turn;
  };

  void settle(Member& member);
  std::optional<Rank> pick();
  void hand_over(Rank next);
  void block(Rank rank);
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  std::deque<Member> members_;
  std::mt19937_64 random_;
  double now_ = 0;
  bool evaluating_ = false;
  std::exception_ptr failure_;
  std::mutex mutex_;
  Rank holder_ = -1;
};

}  // namespace pikv::comm
