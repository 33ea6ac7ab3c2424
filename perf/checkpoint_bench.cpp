// Question: what share of the speed of streaming writes of the same bytes to the same file system does a checkpoint reach?
// Run: checkpoint_bench --folder DIR, mpirun -n 2 checkpoint_bench --folder DIR [--mib 512] [--rounds 9]
// A store is filled with pages of made-up keys and values. Checkpoints (read back and verified once, before anything is timed) and streams of
// the same payloads, a file per rank, take turns; both end when all is synced to the disk. A round counts as its slowest rank took; medians.
// Needs a core per rank: where other work takes them, the time of both is mostly waiting for one.
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "comm/error.hpp"
#include "comm/message.hpp"
#include "comm/mpi_world.hpp"
#include "comm/transports.hpp"
#include "perf/bench_main.hpp"
#include "runtime/checkpoint/files.hpp"
#include "runtime/checkpoint/verify.hpp"
#include "runtime/checkpoint/writer.hpp"
#include "shards/mix.hpp"

namespace {

using namespace pikv;
namespace fs = std::filesystem;

constexpr double patience_s = 600;
constexpr std::int32_t layers = 16;
constexpr kernels::PageLayout layout{kernels::DType::bf16, 8, 32, 128};

struct Settings {
  std::string folder;
  std::size_t mib = 0;
  int rounds = 0;
};

shards::StoreOptions store_options(shards::Block blocks) {
  shards::StoreOptions options;
  options.layers = layers;
  options.q_heads = layout.kv_heads;
  options.layout = layout;
  options.fingerprint = shards::page_fingerprint({1, 2}, layout);
  options.slots = static_cast<std::size_t>(blocks + 2) * layers;
  options.home_slots = options.slots;
  options.local = true;
  options.most_rows = 1;
  options.most_streams = 1;
  options.most_blocks = blocks + 2;
  return options;
}

/// This rank's part of a job: one running request.
class Part {
 public:
  Part(comm::World& world, std::size_t bytes)
      : world_{world},
        blocks_{static_cast<shards::Block>(bytes / layout.bytes() / layers)},
        store_{world, store_options(blocks_)},
        stream_{store_.open({shards::mix(1), static_cast<std::uint64_t>(world.rank())}, blocks_ + 2)} {
    std::vector<std::byte> page(layout.bytes());
    for (shards::Block block = 0; block < blocks_; ++block) {
      bool const taken = store_.restore(stream_, {[&](std::int32_t layer, shards::PageHeader& header) {
                                                    fill(layer, block, header, page);
                                                    return true;
                                                  },
                                                  [&](std::int32_t, std::span<std::byte> payload) { std::ranges::copy(page, payload.begin()); }});
      if (!taken) throw RunError("a page of the benchmark was not taken");
    }
    facts_.ranks = world.size();
    facts_.hosts = 1;
    facts_.saved = "2025-01-31T12:00:00Z";
    facts_.reason = "interval";
    facts_.fingerprint = store_.options().fingerprint;
    facts_.payload_bytes = layout.bytes();
    facts_.model = {{"layers", std::int64_t{layers}},
                    {"vocab", std::int64_t{256}},
                    {"max_positions", std::int64_t{1} << 40},
                    {"kv_heads", std::int64_t{layout.kv_heads}},
                    {"head_dim", std::int64_t{layout.head_dim}}};
    for (comm::Rank rank = 0; rank < world.size(); ++rank)
      requests_.push_back({.index = rank, .prompt = std::vector<std::int32_t>(static_cast<std::size_t>(stream_.length()) + 1)});
  }

  std::size_t bytes() const { return static_cast<std::size_t>(blocks_) * layers * layout.bytes(); }

  void checkpoint(fs::path const& name) {
    runtime::HomeState state;
    runtime::Result result;
    result.index = world_.rank();
    result.home = world_.rank();
    state.progress.push_back({world_.rank(), runtime::Phase::running, result, stream_.id(), stream_.length()});
    state.pages = shards::pages_of(store_, stream_, world_.rank());
    auto const written = runtime::CheckpointWriter{world_, store_, nullptr, patience_s}.write(name, facts_, requests_, state);
    if (written.unsound != 0) throw RunError("pages of the benchmark were not sound");
  }

  void stream(fs::path const& name) {
    int const file = ::open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool good = file >= 0;
    std::byte const* from = store_.arena().payload({0}).data();
    constexpr std::size_t at_once = 8 << 20;
    for (std::size_t at = 0; good && at < bytes(); at += at_once) {
      auto const count = std::min(at_once, bytes() - at);
      good = ::write(file, from + at, count) == static_cast<ssize_t>(count);
    }
    good = good && ::fsync(file) == 0;
    if (file >= 0) ::close(file);
    if (!good) throw RunError("could not write " + name.string());
  }

 private:
  void fill(std::int32_t layer, shards::Block block, shards::PageHeader& header, std::span<std::byte> payload) {
    auto const words = std::span{reinterpret_cast<std::uint64_t*>(payload.data()), payload.size() / sizeof(std::uint64_t)};
    auto const seed = shards::mix(static_cast<std::uint64_t>(block) * layers + static_cast<std::uint64_t>(layer) +
                                  (static_cast<std::uint64_t>(world_.rank()) << 40));
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = shards::mix(seed + i);
    header = {};
    header.key = {stream_.id(), static_cast<std::uint16_t>(layer), 0, layout.kv_heads, 0, block};
    header.first_position = shards::first_position(block, layout.page_tokens);
    header.tokens = static_cast<std::uint32_t>(layout.page_tokens);
    header.fingerprint = store_.options().fingerprint;
    shards::seal(header, payload, layout);
  }

  comm::World& world_;
  shards::Block blocks_;
  shards::Store store_;
  shards::Stream& stream_;
  runtime::CheckpointFacts facts_;
  std::vector<runtime::Request> requests_;
};

/// Collective: what the slowest rank took.
double seconds_of(comm::World& world, comm::FunctionRef<void()> work) {
  world.barrier(world.in(patience_s));
  auto const begin = std::chrono::steady_clock::now();
  work();
  double const mine = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  double most = 0;
  for (comm::Bytes const& theirs : world.all_gather(std::as_bytes(std::span{&mine, 1}), world.in(patience_s)))
    most = std::max(most, comm::MessageReader{theirs}.value<double>());
  return most;
}

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

void run(Settings const& settings) {
  auto const world = comm::launched_by_mpi() ? comm::make_mpi_world({}) : comm::make_solo_world();
  Part part{*world, (settings.mib << 20) / static_cast<std::size_t>(world->size())};
  fs::path const folder = settings.folder, stream = folder / fmt::format("stream-{}", world->rank());
  std::vector<double> saved, streamed;
  for (int round = -1; round < settings.rounds; ++round) {
    fs::path const name = runtime::checkpoint_name(folder, round + 1);
    double const checkpoint_s = seconds_of(*world, [&] { part.checkpoint(name); });
    double const stream_s = seconds_of(*world, [&] { part.stream(stream); });
    if (round < 0 && world->rank() == 0) (void)runtime::verify_checkpoint(runtime::CheckpointReader{name});
    fs::remove(stream);
    if (world->rank() == 0) fs::remove(name);
    if (round < 0) continue;
    saved.push_back(checkpoint_s);
    streamed.push_back(stream_s);
    if (world->rank() == 0) fmt::print("# round {}: checkpoint {:.3f} s, stream {:.3f} s\n", round, checkpoint_s, stream_s);
  }
  if (world->rank() != 0) return;
  double const mib = static_cast<double>(part.bytes()) * world->size() / (1 << 20);
  fmt::print("ranks     MiB  checkpoint MiB/s  stream MiB/s  share\n{:>5} {:>7.0f} {:>17.0f} {:>13.0f} {:>5.0f}%\n", world->size(), mib,
             mib / median(saved), mib / median(streamed), 100 * median(streamed) / median(saved));
}

}   // namespace

int main(int argc, char** argv) {
  namespace po = boost::program_options;
  Settings settings;
  po::options_description options{"checkpoint_bench"};
  auto add = options.add_options();
  add("folder", po::value(&settings.folder)->default_value("."), "on the file system in question; its step-*.h5 and stream-* are overwritten");
  add("mib", po::value(&settings.mib)->default_value(512), "payload of all ranks");
  add("rounds", po::value(&settings.rounds)->default_value(9), "of each, in turn");
  return perf::bench_main("checkpoint_bench", options, argc, argv, [&] { run(settings); });
}
