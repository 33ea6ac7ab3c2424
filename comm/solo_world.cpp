#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include <unistd.h>

#include "comm/device_memory.hpp"
#include "comm/inprocess_exchange.hpp"
#include "comm/inprocess_transport.hpp"
#include "comm/watchdog.hpp"
#include "comm/world.hpp"

namespace pikv::comm {
namespace {

class SoloWorld : public World {
 public:
  Rank rank() const override { return 0; }
  int size() const override { return 1; }
  int host(Rank) const override { return 0; }
  std::string host_name(Rank) const override {
    std::array<char, 256> name{};
    ::gethostname(name.data(), name.size() - 1);
    return name.data();
  }
  bool in_process() const override { return true; }
  std::string data_path() const override { return "memory of this process"; }
  std::string why_no_device_memory() const override { return gpu_memory().why_absent(); }
  double now() const override { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  Status wait(FunctionRef<bool()> ready, Deadline deadline) override {
    constexpr double nap = 50e-6;
    for (;;) {
      if (ready()) return Status::arrived;
      double const left = deadline.at - now();
      if (left <= 0) return Status::timeout;
      std::this_thread::sleep_for(std::chrono::duration<double>(std::min(left, nap)));
    }
  }

  std::vector<Bytes> all_gather(std::span<std::byte const> mine, Deadline) override { return {Bytes(mine.begin(), mine.end())}; }
  std::unique_ptr<Exchange> make_exchange(ExchangeOptions const& options) override {
    return std::make_unique<InprocessExchange>(*this, options, std::make_shared<InprocessChannel>(1));
  }
  std::unique_ptr<Transport> make_transport() override {
    return std::make_unique<InprocessTransport>(*this, std::make_shared<InprocessRegions>(), gpu_memory());
  }
  std::unique_ptr<Guard> guard(char const* what, double seconds) override {
    return std::make_unique<Watchdog::Alarm>(watchdog_, 0, what, seconds);
  }
  [[noreturn]] void abort(int code, std::string const& sentence) override {
    std::fprintf(stderr, "pikv: error: rank 0: %s\n", sentence.c_str());
    std::exit(code);
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
  Watchdog watchdog_;
};

}  // namespace

std::unique_ptr<World> make_solo_world() { return std::make_unique<SoloWorld>(); }

}  // namespace pikv::comm
