#include "comm/inprocess_scheduler.hpp"

#include <algorithm>

namespace pikv::comm {

InprocessScheduler::InprocessScheduler(int ranks, std::uint64_t seed) : members_(static_cast<std::size_t>(ranks)), random_{seed} {
  for (Member& member : members_) member.outcome = Status::arrived;
  hand_over(*pick());
}

void InprocessScheduler::start(Rank rank) { block(rank); }

Status InprocessScheduler::wait(Rank rank, FunctionRef<bool()> ready, Deadline deadline) {
  if (evaluating_) return ready() ? Status::arrived : Status::timeout;   // inside a predicate nobody may be waited for
  if (failure_) return Status::peer_gone;
  bool const at_once = ready();
  constexpr std::uint64_t stays_of_8 = 7;   // a hand-over costs microseconds, yet each order of events must be possible
  if (at_once && below(8) < stays_of_8) return Status::arrived;

  Member& me = members_[static_cast<std::size_t>(rank)];
  me.phase = Phase::waiting;
  me.ready = ready;
  me.deadline = deadline.at;
  me.outcome = at_once ? std::optional{Status::arrived} : std::nullopt;
  Rank const next = *pick();
  if (next != rank) {
    hand_over(next);
    block(rank);
  }
  me.phase = Phase::running;
  if (me.thrown) std::rethrow_exception(std::exchange(me.thrown, nullptr));
  return failure_ ? Status::peer_gone : *me.outcome;
}

void InprocessScheduler::finish(Rank rank, std::exception_ptr failure) {
  members_[static_cast<std::size_t>(rank)].phase = Phase::done;
  if (failure) fail(failure);
  if (auto const next = pick()) hand_over(*next);
}

void InprocessScheduler::fail(std::exception_ptr failure) {
  if (!failure_) failure_ = failure;
}

void InprocessScheduler::settle(Member& member) {
  if (failure_) {
    member.outcome = Status::peer_gone;
    return;
  }
  evaluating_ = true;
  try {
    if ((*member.ready)()) member.outcome = Status::arrived;
  } catch (...) {
    member.thrown = std::current_exception();
    member.outcome = Status::arrived;
  }
  evaluating_ = false;
  if (!member.outcome && now_ >= member.deadline) member.outcome = Status::timeout;
}

std::optional<Rank> InprocessScheduler::pick() {
  for (;;) {
    std::size_t const first = below(members_.size());
    double soonest = std::numeric_limits<double>::infinity();
    bool anyone = false;
    for (std::size_t k = 0; k < members_.size(); ++k) {
      std::size_t const rank = (first + k) % members_.size();
      Member& member = members_[rank];
      if (member.phase != Phase::waiting) continue;
      if (!member.outcome) settle(member);
      if (member.outcome) return static_cast<Rank>(rank);
      anyone = true;
      soonest = std::min(soonest, member.deadline);
    }
    if (!anyone) return std::nullopt;
    now_ = std::max(now_, soonest);
  }
}

void InprocessScheduler::hand_over(Rank next) {
  std::lock_guard const lock{mutex_};
  holder_ = next;
  members_[static_cast<std::size_t>(next)].turn.notify_one();
}

void InprocessScheduler::block(Rank rank) {
  std::unique_lock lock{mutex_};
  members_[static_cast<std::size_t>(rank)].turn.wait(lock, [&] { return holder_ == rank; });
  members_[static_cast<std::size_t>(rank)].phase = Phase::running;
}

}  // namespace pikv::comm
