#include <algorithm>
#include <any>
#include <array>
#include <exception>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "comm/device_memory.hpp"
#include "comm/error.hpp"
#include "comm/inprocess_exchange.hpp"
#include "comm/inprocess_scheduler.hpp"
#include "comm/inprocess_transport.hpp"
#include "comm/inprocess_world.hpp"
#include "comm/setup.hpp"
#include "comm/watchdog.hpp"

namespace pikv::comm {
namespace {

struct Shared {
  explicit Shared(InprocessOptions const& from)
      : options{from}, scheduler{from.ranks, from.seed}, posted(static_cast<std::size_t>(from.ranks)) {
    for (auto& board : boards) board.resize(posted.size());
  }

  /// The ranks' n-th calls get the same object; the last one to come takes it off the shelf.
  template <typename T, typename... Args>
  std::shared_ptr<T> meet(std::uint64_t n, Args&&... args) {
    auto& [object, visitors] = shelf[n];
    if (visitors == 0) object = std::make_shared<T>(std::forward<Args>(args)...);
    auto const mine = std::any_cast<std::shared_ptr<T>>(object);
    if (++visitors == options.ranks) shelf.erase(n);
    return mine;
  }

  InprocessOptions options;
  InprocessScheduler scheduler;
  Watchdog watchdog;
  struct Meeting {
    std::any object;
    int visitors = 0;
  };
  std::map<std::uint64_t, Meeting> shelf;
  std::vector<std::uint64_t> posted;           // [rank] all_gathers entered
  std::array<std::vector<Bytes>, 2> boards;    // [all_gather % 2][rank]
};

class InprocessWorld : public World {
 public:
  InprocessWorld(Shared& shared, Rank rank) : shared_{shared}, rank_{rank} {}

  Rank rank() const override { return rank_; }
  int size() const override { return shared_.options.ranks; }
  int host(Rank rank) const override { return rank / shared_.options.ranks_per_host; }
  std::string host_name(Rank rank) const override { return "host" + std::to_string(host(rank)); }
  bool in_process() const override { return true; }
  std::string data_path() const override { return "memory of this process"; }
  std::string why_no_device_memory() const override { return device().why_absent(); }
  double now() const override { return shared_.scheduler.now(); }

  Status wait(FunctionRef<bool()> ready, Deadline deadline) override { return shared_.scheduler.wait(rank_, ready, deadline); }

  std::vector<Bytes> all_gather(std::span<std::byte const> mine, Deadline deadline) override {
    auto& posted = shared_.posted;
    std::uint64_t const n = posted[static_cast<std::size_t>(rank_)]++;
    auto& board = shared_.boards[n % 2];
    board[static_cast<std::size_t>(rank_)].assign(mine.begin(), mine.end());
    auto const came = [&](std::uint64_t rounds) { return rounds > n; };
    Status const status = wait([&] { return std::ranges::all_of(posted, came); }, deadline);
    if (status == Status::peer_gone) throw RunError("another rank failed");
    if (status != Status::arrived) {
      std::vector<Rank> missing;
      for (Rank r = 0; r < size(); ++r)
        if (!came(posted[static_cast<std::size_t>(r)])) missing.push_back(r);
      throw RunError(missing_ranks_sentence(missing));
    }
    return board;
  }

  std::unique_ptr<Exchange> make_exchange(ExchangeOptions const& options) override {
    return std::make_unique<InprocessExchange>(*this, options, shared_.meet<InprocessChannel>(made_++, size()));
  }
  std::unique_ptr<Transport> make_transport() override {
    return std::make_unique<InprocessTransport>(*this, shared_.meet<InprocessRegions>(made_++), device());
  }

  std::unique_ptr<Guard> guard(char const* what, double seconds) override {
    return std::make_unique<Watchdog::Alarm>(shared_.watchdog, rank_, what, seconds);
  }
  [[noreturn]] void abort(int code, std::string const& sentence) override {
    std::string const text = "rank " + std::to_string(rank_) + ": " + sentence;
    auto const failure = code == 2 ? std::make_exception_ptr(InputError(text)) : std::make_exception_ptr(RunError(text));
    shared_.scheduler.fail(failure);
    std::rethrow_exception(failure);
  }

 private:
  DeviceMemory& device() const { return shared_.options.device != nullptr ? *shared_.options.device : gpu_memory(); }

  Shared& shared_;
  Rank rank_;
  std::uint64_t made_ = 0;
};

void run_rank(Shared& shared, Rank rank, FunctionRef<void(World&)> body) {
  shared.scheduler.start(rank);
  std::exception_ptr failure;
  try {
    InprocessWorld world{shared, rank};
    body(world);
  } catch (...) {
    failure = std::current_exception();
  }
  shared.scheduler.finish(rank, failure);
}

}  // namespace

void run_inprocess(InprocessOptions const& options, FunctionRef<void(World&)> body) {
  if (options.ranks < 1) throw InputError("a world needs at least one rank; choose 1 or more");
  Shared shared{options};
  {
    std::vector<std::jthread> others;
    for (Rank r = 1; r < options.ranks; ++r) others.emplace_back([&shared, r, body] { run_rank(shared, r, body); });
    run_rank(shared, 0, body);
  }
  if (shared.scheduler.failure()) std::rethrow_exception(shared.scheduler.failure());
}

}  // namespace pikv::comm
