// Question: how fast do pages cross from one process to another, pushed and fetched, and how does that compare with a memcpy of as many bytes?
// Run: mpirun -n 2 --bind-to core page_bench [--transport ucx] [--kib 4 64 1024]; page_bench.py runs it beside ucx_perftest.
//   put    payloads, flush
//   push   payloads, flush, headers of 256 bytes, flush: what a home does; headers that lie next to each other go in one put
//   fetch  payloads and headers, each by a get: what a replica takes
//   copy   memcpy inside this process
// warm: one page over and over, as ucx_perftest does. cold: pages that follow each other through memory larger than the caches.
// Rank 0 works; rank 1 waits in an exchange, as owners do. Every kind of transfer is checked before it is timed.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>
#include <chrono>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "comm/error.hpp"
#include "comm/exchange.hpp"
#include "comm/transport.hpp"
#include "comm/transports.hpp"
#include "perf/bench_main.hpp"

namespace {

using namespace pikv;

constexpr std::size_t header_bytes = 256;
constexpr double patience_s = 120;
constexpr comm::Rank peer = 1;   // of rank 0, which does the work

/// `pages` pages from slot `next` on, in a ring of `slots`.
struct Walk {
  std::size_t page_bytes, pages, slots, next = 0;
  std::size_t slot(std::size_t page) const { return (next + page) % slots; }
  void go_on() { next = slot(pages); }
};

class Pages {
 public:
  Pages(comm::World& world, std::size_t pool_bytes, std::size_t smallest_page)
      : world_{world},
        transport_{world.make_transport()},
        exchange_{world.make_exchange({"bench", 0, 0})},
        payloads_{transport_->allocate(pool_bytes, comm::Space::host)},
        headers_{transport_->allocate(pool_bytes / smallest_page * header_bytes, comm::Space::host)},
        copies_(pool_bytes) {
    write_own(payloads_, payloads_.bytes);
    write_own(headers_, headers_.bytes);
    meet();
    if (world_.rank() == 0) put({smallest_page, pool_bytes / smallest_page, pool_bytes / smallest_page});   // first touches are not timed
    meet();
  }

  void meet() {
    exchange_->start();
    if (exchange_->finish(world_.in(patience_s)) != comm::Status::arrived) world_.abort(1, "the other rank of page_bench did not come");
  }

  void put(Walk const& walk) {
    for (std::size_t i = 0; i < walk.pages; ++i) put(payloads_, walk.slot(i), walk.page_bytes);
    ops_.push_back(transport_->flush(peer));
    wait();
  }
  void push(Walk const& walk) {
    put(walk);
    std::size_t const before_end = std::min(walk.pages, header_slots() - walk.next);
    put(headers_, walk.next, header_bytes, before_end);
    if (before_end < walk.pages) put(headers_, 0, header_bytes, walk.pages - before_end);
    ops_.push_back(transport_->flush(peer));
    wait();
  }
  void fetch(Walk const& walk) {
    for (std::size_t i = 0; i < walk.pages; ++i) {
      get(headers_, walk.slot(i), header_bytes);
      get(payloads_, walk.slot(i), walk.page_bytes);
    }
    wait();
  }
  void copy(Walk const& walk) {
    for (std::size_t i = 0; i < walk.pages; ++i) {
      std::size_t const at = walk.slot(i) * walk.page_bytes;
      std::memcpy(copies_.data() + at, payloads_.data + at, walk.page_bytes);
    }
  }

  /// Collective. After the transfer the one rank that received must hold the other's bytes. The walk starts at slot 0.
  void check(std::function<void()> const& transfer, comm::Rank receiver, Walk const& walk, bool with_headers) {
    std::size_t const pages = std::min(walk.pages, walk.slots);
    write_own(payloads_, pages * walk.page_bytes);
    write_own(headers_, pages * header_bytes);
    meet();
    if (world_.rank() == 0) transfer();
    meet();
    transport_->poll();
    if (world_.rank() != receiver) return;
    comm::Rank const writer = 1 - receiver;
    bool const right = holds(payloads_, pages * walk.page_bytes, writer) && (!with_headers || holds(headers_, pages * header_bytes, writer));
    if (!right) world_.abort(1, fmt::format("{} pages of {} bytes did not arrive whole; nothing was timed", walk.pages, walk.page_bytes));
  }

 private:
  std::size_t header_slots() const { return headers_.bytes / header_bytes; }
  void put(comm::Region const& region, std::size_t slot, std::size_t bytes, std::size_t slots = 1) {
    ops_.push_back(transport_->put(peer, region.at(slot * bytes), {region.data + slot * bytes, slots * bytes}));
  }
  void get(comm::Region const& region, std::size_t slot, std::size_t bytes) {
    ops_.push_back(transport_->get(peer, region.at(slot * bytes), {region.data + slot * bytes, bytes}));
  }
  void wait() {
    comm::Deadline const deadline = world_.in(patience_s);
    for (comm::Op const op : ops_)
      if (auto const status = transport_->wait(op, deadline); status != comm::Status::arrived)
        world_.abort(1, fmt::format("a transfer of page_bench ended as {}", to_string(status)));
    ops_.clear();
  }

  static std::uint64_t word(std::size_t i, comm::Rank writer) { return (i + 1) * 0x9E3779B97F4A7C15u ^ static_cast<std::uint64_t>(writer); }
  static std::span<std::uint64_t> words(comm::Region const& region, std::size_t bytes) {
    return {reinterpret_cast<std::uint64_t*>(region.data), bytes / sizeof(std::uint64_t)};
  }
  void write_own(comm::Region const& region, std::size_t bytes) const {
    auto const all = words(region, bytes);
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = word(i, world_.rank());
  }
  static bool holds(comm::Region const& region, std::size_t bytes, comm::Rank writer) {
    auto const all = words(region, bytes);
    for (std::size_t i = 0; i < all.size(); ++i)
      if (all[i] != word(i, writer)) return false;
    return true;
  }

  comm::World& world_;
  std::unique_ptr<comm::Transport> transport_;
  std::unique_ptr<comm::Exchange> exchange_;
  comm::Region payloads_, headers_;
  std::vector<std::byte> copies_;
  std::vector<comm::Op> ops_;
};

struct Kind {
  std::string_view name;
  void (Pages::*run)(Walk const&);
  std::optional<comm::Rank> receiver;   // nothing to check in a memcpy
  bool headers;
};
constexpr std::array kinds{Kind{"put", &Pages::put, 1, false}, Kind{"push", &Pages::push, 1, true}, Kind{"fetch", &Pages::fetch, 0, true},
                           Kind{"copy", &Pages::copy, std::nullopt, false}};

struct Settings {
  std::string transport;
  std::vector<std::size_t> kib;
  std::size_t window = 0, pool_mib = 0, volume_mib = 0;
  bool progress_thread = true;
  std::size_t pool_bytes() const { return pool_mib << 20; }
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

void measure(comm::World& world, Pages& pages, Settings const& settings, Walk walk, char const* memory) {
  auto const rounds = std::clamp<std::size_t>((settings.volume_mib << 20) / (walk.page_bytes * walk.pages), 5, 1000);
  for (Kind const& kind : kinds) {
    walk.next = 0;
    if (kind.receiver) pages.check([&] { (pages.*kind.run)(walk); }, *kind.receiver, walk, kind.headers);
    std::vector<double> seconds;
    for (std::size_t round = 0; round < rounds && world.rank() == 0; ++round) {
      auto const begin = std::chrono::steady_clock::now();
      (pages.*kind.run)(walk);
      seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
      walk.go_on();
    }
    pages.meet();
    if (world.rank() != 0) continue;
    double const each = median(seconds) / static_cast<double>(walk.pages);
    fmt::print("{:<6} {:<5} {:>6} {:>9} {:>11.2f} {:>8.3f}\n", kind.name, memory, walk.pages, walk.page_bytes, each * 1e6,
               static_cast<double>(walk.page_bytes) / each / 1e9);
    std::fflush(stdout);
  }
}

void run(Settings const& settings) {
  auto const world = comm::transports().at(settings.transport).make({.progress = {.on = settings.progress_thread}});
  if (world->size() != 2) throw InputError(fmt::format("it works between 2 ranks, not {}; start it with mpirun -n 2", world->size()));
  Pages pages{*world, settings.pool_bytes(), *std::ranges::min_element(settings.kib) << 10};
  if (world->rank() == 0) fmt::print("# {}\n# kind  memory pages page_bytes  us_a_page     GB/s\n", world->data_path());
  for (std::size_t const kib : settings.kib) {
    std::size_t const page_bytes = kib << 10, slots = settings.pool_bytes() / page_bytes;
    std::size_t const window = std::max<std::size_t>(1, std::min(settings.window, slots / 4));
    for (std::size_t const pages_at_once : {std::size_t{1}, window}) {
      measure(*world, pages, settings, {page_bytes, pages_at_once, 1}, "warm");
      measure(*world, pages, settings, {page_bytes, pages_at_once, slots}, "cold");
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  namespace po = boost::program_options;
  Settings settings;
  po::options_description options{"page_bench"};
  auto add = options.add_options();
  add("transport", po::value(&settings.transport)->default_value("auto"), "as of pikv");
  add("kib", po::value(&settings.kib)->multitoken()->default_value({4, 16, 64, 256, 1024, 8192}, "4 16 64 256 1024 8192"), "page sizes");
  add("window", po::value(&settings.window)->default_value(64), "pages under way at once, beside 1");
  add("pool-mib", po::value(&settings.pool_mib)->default_value(512), "memory that cold pages walk through; more than the caches");
  add("volume-mib", po::value(&settings.volume_mib)->default_value(256), "bytes moved for each number");
  add("progress-thread", po::value(&settings.progress_thread)->default_value(true), "of UCX");
  return perf::bench_main("page_bench", options, argc, argv, [&] {
    if (!comm::transports().contains(settings.transport)) throw InputError("no transport named '" + settings.transport + "' in this build");
    run(settings);
  });
}
