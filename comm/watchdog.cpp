#include "comm/watchdog.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string>

namespace pikv::comm {

Watchdog::~Watchdog() {
  {
    std::lock_guard const lock{mutex_};
    stopped_ = true;
  }
  stop_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Watchdog::Alarm::Alarm(Watchdog& dog, Rank rank, char const* what, double seconds) : dog_{dog} {
  std::lock_guard const lock{dog.mutex_};
  auto const until = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(std::min(seconds, 1e8)));
  auto const free = std::ranges::find(dog.entries_, false, &Entry::armed);
  index_ = static_cast<std::size_t>(free - dog.entries_.begin());
  if (free == dog.entries_.end()) dog.entries_.emplace_back();
  dog.entries_[index_] = {true, rank, what, seconds, until};
  if (!dog.thread_.joinable()) dog.thread_ = std::thread{[&dog] { dog.watch(); }};
}

Watchdog::Alarm::~Alarm() {
  std::lock_guard const lock{dog_.mutex_};
  dog_.entries_[index_].armed = false;
}

void Watchdog::watch() {
  constexpr std::chrono::milliseconds period{100};
  std::unique_lock lock{mutex_};
  while (!stop_.wait_for(lock, period, [this] { return stopped_; }))
    for (Entry const& entry : entries_)
      if (entry.armed && Clock::now() > entry.until) bark(entry);
}

void Watchdog::bark(Entry const& entry) {
  auto const sentence = fmt::format(
      "pikv: error: rank {}: {} did not end in {:g} s, so the job ends; another rank or the file system may be stuck: "
      "look for other messages\n",
      entry.rank, entry.what, entry.seconds);
  // Ranks that wait for the same call bark together: the lowest speaks first, and its end ends the others before their turn.
  std::this_thread::sleep_for(std::chrono::milliseconds{300} * std::min(entry.rank, 10));
  [[maybe_unused]] auto const written = ::write(STDERR_FILENO, sentence.data(), sentence.size());
  ::_exit(1);
}

}  // namespace pikv::comm
