#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "comm/rank.hpp"
#include "comm/world.hpp"

namespace pikv::comm {

/// A thread (started by the first alarm) that ends this process with code 1 when an alarm outlives its time. It calls
/// neither MPI nor HDF5: it writes the sentence to stderr and exits, and mpirun or srun then ends the other ranks.
class Watchdog {
 public:
  Watchdog() = default;
  ~Watchdog();
  Watchdog(Watchdog const&) = delete;   // the thread refers to it

  /// Allocation-free while no more alarms are armed at once than ever before.
  class Alarm : public World::Guard {
   public:
    Alarm(Watchdog& dog, Rank rank, char const* what, double seconds);
    ~Alarm() override;
    Alarm(Alarm const&) = delete;   // disarms once

   private:
    Watchdog& dog_;
    std::size_t index_;
  };

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    bool armed = false;
    Rank rank = 0;
    char const* what = nullptr;
    double seconds = 0;
    Clock::time_point until;
  };
  void watch();
  [[noreturn]] static void bark(Entry const& entry);

  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopped_ = false;
  std::vector<Entry> entries_;
  std::thread thread_;
};

}  // namespace pikv::comm
