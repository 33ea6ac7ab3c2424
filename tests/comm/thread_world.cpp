#include "thread_world.hpp"

#include <sched.h>

#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "comm/error.hpp"
#include "comm/setup.hpp"

namespace pikv::comm::test {
namespace {

struct Shared {
  explicit Shared(int ranks) : posted(static_cast<std::size_t>(ranks)) {
    for (auto& board : boards) board.resize(posted.size());
  }
  std::mutex mutex;
  std::vector<std::uint64_t> posted;          // [rank] all_gathers entered
  std::array<std::vector<Bytes>, 2> boards;   // [all_gather % 2][rank]
  std::atomic<bool> failed = false;
  std::exception_ptr failure;
};

class ThreadWorld : public World {
 public:
  ThreadWorld(Shared& shared, Rank rank) : shared_{shared}, rank_{rank} {}

  Rank rank() const override { return rank_; }
  int size() const override { return static_cast<int>(shared_.posted.size()); }
  int host(Rank rank) const override { return rank / 2; }
  std::string host_name(Rank rank) const override { return "host" + std::to_string(host(rank)); }
  bool in_process() const override { return true; }
  std::string data_path() const override { return "threads"; }
  double now() const override { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

  Status wait(FunctionRef<bool()> ready, Deadline deadline) override {
    for (;;) {
      if (ready()) return Status::arrived;
      if (shared_.failed) return Status::peer_gone;
      if (now() >= deadline.at) return Status::timeout;
      ::sched_yield();
    }
  }

  std::vector<Bytes> all_gather(std::span<std::byte const> mine, Deadline deadline) override {
    std::uint64_t n = 0;
    {
      std::lock_guard const lock{shared_.mutex};
      n = shared_.posted[static_cast<std::size_t>(rank_)]++;
      shared_.boards[n % 2][static_cast<std::size_t>(rank_)].assign(mine.begin(), mine.end());
    }
    std::vector<Rank> missing;
    Status const status = wait(
        [&] {
          std::lock_guard const lock{shared_.mutex};
          missing.clear();
          for (Rank r = 0; r < size(); ++r)
            if (shared_.posted[static_cast<std::size_t>(r)] <= n) missing.push_back(r);
          return missing.empty();
        },
        deadline);
    if (status == Status::peer_gone) throw RunError("another rank failed");
    if (status != Status::arrived) throw RunError(missing_ranks_sentence(missing));
    std::lock_guard const lock{shared_.mutex};
    return shared_.boards[n % 2];
  }

  std::unique_ptr<Exchange> make_exchange(ExchangeOptions const&) override { throw std::logic_error("threads have no exchange of their own"); }
  std::unique_ptr<Transport> make_transport() override { throw std::logic_error("threads have no transport"); }
  std::unique_ptr<Guard> guard(char const*, double) override { return std::make_unique<Guard>(); }
  [[noreturn]] void abort(int, std::string const& sentence) override { throw RunError(sentence); }

 private:
  Shared& shared_;
  Rank rank_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void run_rank(Shared& shared, Rank rank, FunctionRef<void(World&)> body) {
  try {
    ThreadWorld world{shared, rank};
    body(world);
  } catch (...) {
    std::lock_guard const lock{shared.mutex};
    if (!shared.failure) shared.failure = std::current_exception();
    shared.failed = true;
  }
}

}  // namespace

void run_threads(int ranks, FunctionRef<void(World&)> body) {
  Shared shared{ranks};
  {
    std::vector<std::jthread> threads;
    for (Rank rank = 0; rank < ranks; ++rank) threads.emplace_back([&shared, rank, body] { run_rank(shared, rank, body); });
  }
  if (shared.failure) std::rethrow_exception(shared.failure);
}

}  // namespace pikv::comm::test
