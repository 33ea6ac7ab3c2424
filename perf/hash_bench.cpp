// Question: what do the checksums of a page cost: sealing it and verifying it, beside xxh3 (comm/checksum.hpp) over the same bytes as one block?
// Run: hash_bench [--kv-heads 8] [--kib 4 64 1024] [--report run.json --page-kib 16]
// With the report of `pikv generate --report run.json`: which share of that run's time its checksums were, at the speeds just measured.
// Hashed are pages sealed and pages checked (cold), and each message of the exchanges by its sender and by its receiver (warm: in page-sized parts).
// Both answers are checked first: a sealed page verifies, and one flipped bit is found. Seal, verify and xxh3 take turns; medians.
// warm: one page over and over. cold: pages that follow each other through memory larger than the caches.
#include <fmt/core.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "comm/checksum.hpp"
#include "comm/error.hpp"
#include "kernels/pool.hpp"
#include "shards/header.hpp"
#include "perf/bench_main.hpp"

namespace {

using namespace pikv;

struct Settings {
  std::vector<std::size_t> kib;
  int kv_heads = 0, repeats = 0;
  std::size_t pool_mib = 0, page_kib = 0;
  std::string report;
};

struct Times {
  double seal, verify, xxh3;   // seconds a page
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

class Pages {
 public:
  explicit Pages(Settings const& settings) : settings_{settings}, layout_{kernels::DType::bf16, settings.kv_heads, 32, 1}, pool_(settings.pool_mib << 20) {
    for (std::size_t i = 0; i < pool_.size(); ++i) pool_[i] = static_cast<std::byte>(i * 0x9E3779B1u >> 13);
  }

  void check(std::size_t page_bytes) {
    auto const page = at(page_bytes, 0);
    shards::PageHeader header;
    shards::seal(header, page, layout_);
    bool const sound = verify(header, page) == shards::Verdict::good;
    page[page_bytes / 3] ^= std::byte{16};
    bool const damage_found = verify(header, page) == shards::Verdict::bad_payload;
    page[page_bytes / 3] ^= std::byte{16};
    if (!sound || !damage_found) throw RunError(fmt::format("checksums of pages of {} bytes are wrong; nothing was timed", page_bytes));
  }

  /// A batch of pages per kind and repeat.
  Times measure(std::size_t page_bytes, bool cold) {
    std::size_t const slots = pool_.size() / page_bytes, batch = std::clamp<std::size_t>((1 << 20) / page_bytes, 4, 64);
    std::vector<shards::PageHeader> headers(slots);
    for (std::size_t slot = 0; slot < slots; ++slot) shards::seal(headers[slot], at(page_bytes, slot), layout_);
    std::size_t next = 0;
    auto const seconds = [&](auto const& work) {
      auto const begin = std::chrono::steady_clock::now();
      for (std::size_t i = 0; i < batch; ++i) {
        std::size_t const slot = cold ? (next + i) % slots : 0;
        work(headers[slot], at(page_bytes, slot));
      }
      next = (next + batch) % slots;
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / static_cast<double>(batch);
    };
    std::vector<double> seal, check, xxh3;
    for (int repeat = 0; repeat < settings_.repeats; ++repeat) {
      seal.push_back(seconds([&](auto& header, auto page) { shards::seal(header, page, layout_); }));
      check.push_back(seconds([&](auto& header, auto page) { sink_ = verify(header, page) == shards::Verdict::good; }));
      xxh3.push_back(seconds([&](auto&, auto page) { sink_ = comm::checksum(page) != 0; }));
    }
    return {median(seal), median(check), median(xxh3)};
  }

 private:
  std::span<std::byte> at(std::size_t page_bytes, std::size_t slot) { return {pool_.data() + slot * page_bytes, page_bytes}; }
  static shards::Verdict verify(shards::PageHeader const& header, std::span<std::byte const> page) {
    return shards::verify(header, page, header.key, header.generation, header.fingerprint);
  }

  Settings settings_;
  kernels::PageLayout layout_;
  std::vector<std::byte> pool_;
  bool volatile sink_ = false;
};

void print_costs(Pages& pages, std::size_t page_bytes, bool cold) {
  Times const times = pages.measure(page_bytes, cold);
  fmt::print("{:>8} {:<6} {:>9.2f} {:>9.2f} {:>9.2f} {:>9.1f} {:>11.3f} {:>13.3f}\n", page_bytes >> 10, cold ? "cold" : "warm", times.seal * 1e6,
             times.verify * 1e6, times.xxh3 * 1e6, static_cast<double>(page_bytes) / times.xxh3 / 1e9, times.seal / times.xxh3,
             times.verify / times.xxh3);
}

void print_share(Pages& pages, Settings const& settings) {
  std::ifstream file{settings.report};
  auto const report = nlohmann::json::parse(file, nullptr, false);
  if (report.is_discarded()) throw InputError("--report=" + settings.report + " is not a report of pikv generate; write one with its --report");
  double seconds = 0, waiting = report["stages_s"]["communication"];
  for (double const stage : report["stages_s"]) seconds += stage;
  double const sealed = report["kv"]["pages_sealed"], checked = report["integrity"]["checked"], pushed = report["transfer"]["push_bytes"],
               fetched = report["transfer"]["fetch_bytes"];
  double message_bytes = -pushed - fetched;   // the localities count these too
  for (double const bytes : report["transfer"]["by_locality"]) message_bytes += bytes;
  std::size_t const page_bytes = settings.page_kib << 10;
  Times const cold = pages.measure(page_bytes, true), warm = pages.measure(page_bytes, false);
  double const on_pages = sealed * cold.seal + checked * cold.verify;
  double const on_messages = 2 * message_bytes / static_cast<double>(page_bytes) * warm.xxh3;
  fmt::print("{}: {} ranks, {:.3f} s of their time, {:.3f} s of it not in communication\n"
             "  pages     {:.0f} sealed, {:.0f} checked, {} KiB each: {:.2f} ms = {:.3f} % of a step, {:.3f} % of its computation\n"
             "  messages  {:.1f} MB, hashed at both ends: {:.2f} ms = {:.3f} % of a step, {:.3f} % of its computation\n",
             settings.report, report["ranks"].get<int>(), seconds, seconds - waiting, sealed, checked, settings.page_kib, on_pages * 1e3,
             100 * on_pages / seconds, 100 * on_pages / (seconds - waiting), message_bytes / 1e6, on_messages * 1e3, 100 * on_messages / seconds,
             100 * on_messages / (seconds - waiting));
}

void run(Settings const& settings) {
  Pages pages{settings};
  for (std::size_t const kib : settings.kib) pages.check(kib << 10);
  fmt::print("{} checksums a page, medians of {}\npage KiB memory   seal us verify us   xxh3 us xxh3 GB/s seal / xxh3 verify / xxh3\n",
             std::min<std::size_t>(2 * static_cast<std::size_t>(settings.kv_heads), shards::max_checksums), settings.repeats);
  for (std::size_t const kib : settings.kib)
    for (bool const cold : {false, true}) print_costs(pages, kib << 10, cold);
  if (!settings.report.empty()) print_share(pages, settings);
}

}  // namespace

int main(int argc, char** argv) {
  namespace po = boost::program_options;
  Settings settings;
  po::options_description options{"hash_bench"};
  auto add = options.add_options();
  add("kib", po::value(&settings.kib)->multitoken()->default_value({4, 16, 64, 256, 1024}, "4 16 64 256 1024"), "page sizes");
  add("kv-heads", po::value(&settings.kv_heads)->default_value(2), "a page has a checksum per K and V head, 16 at most");
  add("repeats", po::value(&settings.repeats)->default_value(201), "medians of so many");
  add("pool-mib", po::value(&settings.pool_mib)->default_value(512), "memory that cold pages walk through; more than the caches");
  add("report", po::value(&settings.report), "of pikv generate");
  add("page-kib", po::value(&settings.page_kib)->default_value(16), "payload of a page in that report; 16 for the embedded model");
  return perf::bench_main("hash_bench", options, argc, argv, [&] {
    run(settings);
  });
}
