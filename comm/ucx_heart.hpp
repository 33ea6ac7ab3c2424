#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "comm/transports.hpp"
#include "comm/ucx_worker.hpp"

namespace pikv::comm {

/// The thread that makes progress while the main thread computes, and the heartbeats by which ranks know of each other's life: a peer of
/// which nothing came for `silence_s`, heartbeats included, is marked gone. A rank that was itself suspended judges nobody by that time.
class UcxHeart {
 public:
  /// `worker` must outlive it.
  UcxHeart(UcxWorker& worker, Rank self, int ranks, ProgressThread const& thread, double silence_s);
  ~UcxHeart();
  UcxHeart(UcxHeart const&) = delete;   // its thread refers to it

  /// The main thread waits (and makes progress): the thread rests.
  void set_waiting(bool waiting) { main_waits_.store(waiting, std::memory_order_relaxed); }
  /// What the thread could not go on from; empty if nothing.
  std::string trouble() const { return in_trouble_.load(std::memory_order_acquire) ? trouble_ : ""; }

 private:
  using Clock = UcxWorker::Clock;
  struct Beat : UcxCompletion {   // to a peer
    void done(ucs_status_t) override { under_way = false; }
    UcxHeader header;
    bool under_way = false;
  };
  void run();
  void work();
  void beat();
  void look_for_silence(Clock::time_point now);

  UcxWorker& worker_;
  Rank self_;
  ProgressThread options_;
  Clock::duration silence_, period_;
  std::shared_ptr<std::vector<Beat>> beats_;   // by peer; the worker keeps them too, since some may be under way at the end
  Clock::time_point last_;      // beat
  std::atomic<bool> main_waits_ = false, stop_ = false, in_trouble_ = false;
  std::string trouble_;
  std::thread thread_;
};

}  // namespace pikv::comm
