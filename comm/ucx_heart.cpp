#include "comm/ucx_heart.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <string>

#include "comm/error.hpp"

namespace pikv::comm {
namespace {

void pin_to(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(static_cast<unsigned>(core), &cores);
  if (::pthread_setaffinity_np(::pthread_self(), sizeof cores, &cores) != 0)
    throw RunError("--progress-thread=" + std::to_string(core) + " is a core that this process may not use; name one of those it was bound to, or choose on");
}

}  // namespace

UcxHeart::UcxHeart(UcxWorker& worker, Rank self, int ranks, ProgressThread const& thread, double silence_s)
    : worker_{worker},
      self_{self},
      options_{thread},
      silence_{std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(silence_s))},
      period_{std::min<Clock::duration>(silence_ / 8, std::chrono::seconds{1})},
      beats_{std::make_shared<std::vector<Beat>>(static_cast<std::size_t>(ranks))},
      last_{Clock::now()} {
  worker_.keep(beats_);
  for (Beat& beat : *beats_) beat.header.from = self;
  if (options_.on && ranks > 1) thread_ = std::thread{[this] { run(); }};
}

UcxHeart::~UcxHeart() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

void UcxHeart::run() {
  constexpr std::chrono::milliseconds nap{1};
  bool const own_core = options_.core >= 0;
  try {
    if (own_core) pin_to(options_.core);
    while (!stop_) {
      work();
      if (own_core) ::sched_yield();
      else std::this_thread::sleep_for(nap);
    }
  } catch (std::exception const& error) {
    trouble_ = error.what();
    in_trouble_.store(true, std::memory_order_release);
  }
}

void UcxHeart::work() {
  auto const now = Clock::now();
  bool const due = now - last_ >= period_;
  if (!due && main_waits_.load(std::memory_order_relaxed)) return;
  std::unique_lock lock{worker_.mutex(), std::defer_lock};
  if (due) lock.lock();
  else if (!lock.try_lock()) return;   // the main thread makes progress itself
  worker_.progress_locked();
  if (!due) return;
  if (!worker_.ending()) look_for_silence(now);
  beat();
  last_ = now;
}

void UcxHeart::beat() {
  for (Rank to = 0; to < static_cast<Rank>(beats_->size()); ++to) {
    Beat& beat = (*beats_)[static_cast<std::size_t>(to)];
    if (to == self_ || beat.under_way || worker_.gone(to)) continue;
    beat.under_way = true;
    worker_.send(to, UcxMessage::heartbeat, beat.header, {}, beat);
  }
}

void UcxHeart::look_for_silence(Clock::time_point now) {
  bool const was_suspended = now - last_ > silence_ / 2;   // a suspended job finds all its peers silent
  for (Rank rank = 0; rank < static_cast<Rank>(beats_->size()); ++rank) {
    if (rank == self_) continue;
    if (was_suspended) worker_.heard(rank) = now;
    if (now - worker_.heard(rank) > silence_) worker_.mark_gone(rank);
  }
}

}  // namespace pikv::comm
