// Question: how long does one exchange take, from start() to finish(), over each transport of this build, and over NCCL where every rank has a GPU?
// Run: mpirun -n 3 --oversubscribe exchange_bench [--bytes 0 1024 65536 1048576]
// Over TCP: UCX_TLS=tcp,self OMPI_MCA_btl=tcp,self mpirun -n 3 --oversubscribe exchange_bench
// Every rank sends every other a message of so many bytes. The transports take turns in one process, a block of rounds each; every message is
// checked before anything is timed. A round counts as its slowest rank took; median over all rounds, and quartiles.
#include <fmt/core.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <chrono>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "comm/error.hpp"
#include "comm/exchange.hpp"
#include "comm/gpus.hpp"
#include "comm/nccl.hpp"
#include "comm/nccl_world.hpp"
#include "comm/transports.hpp"
#include "perf/bench_main.hpp"

namespace {

using namespace pikv;

constexpr double patience_s = 120;
constexpr int warm_up_rounds = 10;

struct Settings {
  std::vector<std::size_t> bytes;
  int rounds = 0, blocks = 0;
};

/// A world over one transport, and what its rounds took on this rank.
class Contestant {
 public:
  Contestant(std::string name, std::unique_ptr<comm::World> world) : name_{std::move(name)}, world_{std::move(world)} {}

  std::string const& name() const { return name_; }
  comm::World& world() const { return *world_; }

  /// Collective.
  void prepare(std::size_t bytes) {
    exchange_ = world_->make_exchange({"bench", 0, bytes});
    seconds_.clear();
    round(bytes);
    for (comm::Rank from = 0; from < world_->size(); ++from) check(exchange_->incoming(from), bytes, from);
    for (int i = 0; i < warm_up_rounds; ++i) round(bytes);
  }
  void run(std::size_t bytes, int rounds) {
    world_->barrier(world_->in(patience_s));
    for (int i = 0; i < rounds; ++i) seconds_.push_back(round(bytes));
  }
  /// Collective. Of each round the time of the slowest rank, sorted.
  std::vector<double> slowest() {
    std::vector<double> most(seconds_.size());
    for (auto const& theirs : world_->all_gather(std::as_bytes(std::span{seconds_}), world_->in(patience_s)))
      for (std::size_t i = 0; i < most.size(); ++i) {
        double one = 0;
        std::memcpy(&one, theirs.data() + i * sizeof one, sizeof one);
        most[i] = std::max(most[i], one);
      }
    std::ranges::sort(most);
    return most;
  }
  void finish() { exchange_.reset(); }

 private:
  static std::byte filling(comm::Rank from, comm::Rank to) { return static_cast<std::byte>(1 + 16 * from + to); }

  // The time to fill the messages is not in it.
  double round(std::size_t bytes) {
    for (comm::Rank to = 0; to < world_->size(); ++to) {
      auto const message = exchange_->outgoing(to).append(bytes);
      std::ranges::fill(message, filling(world_->rank(), to));
    }
    auto const begin = std::chrono::steady_clock::now();
    exchange_->start();
    auto const status = exchange_->finish(world_->in(patience_s));
    double const took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (status != comm::Status::arrived) world_->abort(1, fmt::format("an exchange of exchange_bench ended as {}", to_string(status)));
    return took;
  }
  void check(std::span<std::byte const> message, std::size_t bytes, comm::Rank from) {
    std::byte const wanted = filling(from, world_->rank());
    if (message.size() == bytes && std::ranges::count(message, wanted) == static_cast<std::ptrdiff_t>(bytes)) return;
    world_->abort(1, fmt::format("a message of {} bytes from rank {} did not arrive whole over {}; nothing was timed", bytes, from, name_));
  }

  std::string name_;
  std::unique_ptr<comm::World> world_;
  std::unique_ptr<comm::Exchange> exchange_;
  std::vector<double> seconds_;
};

void measure(std::vector<std::unique_ptr<Contestant>>& contestants, std::size_t bytes, Settings const& settings) {
  for (auto& contestant : contestants) contestant->prepare(bytes);
  for (int block = 0; block < settings.blocks; ++block)
    for (auto& contestant : contestants) contestant->run(bytes, settings.rounds);
  for (auto& contestant : contestants) {
    auto const all = contestant->slowest();
    if (contestant->world().rank() == 0)
      fmt::print("{:>5} {:<4} {:>9} {:>10.1f} {:>10.1f} {:>10.1f}\n", contestant->world().size(), contestant->name(), bytes,
                 all[all.size() / 2] * 1e6, all[all.size() / 4] * 1e6, all[all.size() * 3 / 4] * 1e6);
    contestant->finish();
  }
}

void run(Settings const& settings) {
  std::vector<std::unique_ptr<Contestant>> contestants;   // the first starts and ends MPI
  comm::GpuPlacement placement;
  for (auto const& [name, entry] : comm::transports())
    if (name != "auto") {
      contestants.push_back(std::make_unique<Contestant>(std::string{name}, entry.make({})));
      if (contestants.size() == 1) placement = comm::take_gpus(contestants[0]->world(), contestants[0]->world().in(patience_s));
    }
  comm::World& first = contestants[0]->world();
  std::string const why_not = comm::why_not_nccl(first, placement, comm::nccl_built_in());
  if (why_not.empty()) contestants.push_back(std::make_unique<Contestant>("nccl", comm::make_nccl_world(first)));
  else if (first.rank() == 0) fmt::print("# nccl: left out, since {}\n", why_not);
  for (auto const& contestant : contestants)
    if (contestant->world().rank() == 0) fmt::print("# {}: {}\n", contestant->name(), contestant->world().data_path());
  if (contestants.front()->world().rank() == 0) fmt::print("ranks over     bytes  median us   quarter    3/4 us\n");
  for (std::size_t const bytes : settings.bytes) measure(contestants, bytes, settings);
  while (!contestants.empty()) contestants.pop_back();
}

}  // namespace

int main(int argc, char** argv) {
  namespace po = boost::program_options;
  Settings settings;
  po::options_description options{"exchange_bench"};
  auto add = options.add_options();
  add("bytes", po::value(&settings.bytes)->multitoken()->default_value({0, 1024, 65536, 1048576}, "0 1024 65536 1048576"), "of each message");
  add("rounds", po::value(&settings.rounds)->default_value(50), "in a block");
  add("blocks", po::value(&settings.blocks)->default_value(10), "of each transport, in turn");
  return perf::bench_main("exchange_bench", options, argc, argv, [&] {
    run(settings);
  });
}
