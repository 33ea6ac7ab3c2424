#include "nccl_stand_in.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <stdexcept>

#include "comm/error.hpp"
#include "fenced_memory.hpp"

namespace pikv::comm::test {
namespace {

constexpr std::size_t most_bytes = 80'000, most_queued = 64;

/// A GPU's memory, which knows what is pinned.
class Gpu : public FencedMemory {
 public:
  void pin(std::span<std::byte> host) override {
    FencedMemory::pin(host);
    pinned_[host.data()] = host.size();
  }
  void unpin(std::byte* host) noexcept override {
    FencedMemory::unpin(host);
    pinned_.erase(host);
  }
  void expect_pinned(std::span<std::byte const> host) const {
    auto const after = pinned_.upper_bound(host.data());
    bool const inside = after != pinned_.begin() && host.data() + host.size() <= std::prev(after)->first + std::prev(after)->second;
    if (!inside) throw std::logic_error("a queued copy of host memory that is not pinned");
  }

 private:
  std::map<std::byte const*, std::size_t> pinned_;
};

/// One message from a rank to another: on its way from when the sender's stream is there until the receiver's is.
struct Wire {
  bool full = false;
  std::uint64_t sent = 0, received = 0;
  std::vector<std::byte> bytes;
};

struct Communicator {
  explicit Communicator(std::size_t ranks) : wires(ranks, std::vector<Wire>(ranks)) {
    for (auto& row : wires)
      for (Wire& wire : row) wire.bytes.reserve(most_bytes);
  }
  std::vector<std::vector<Wire>> wires;   // [from][to]
  std::size_t opened = 0, finalized = 0;
};

struct Transfer {
  NcclTransfer what;
  bool done = false;
  std::uint64_t number = 0;   // of the wire, of a send that is on its way
};

struct Work {
  enum class Kind { in, out, group, mark };
  Kind kind = Kind::mark;
  std::byte* device = nullptr;
  std::byte const* from = nullptr;
  std::byte* into = nullptr;
  std::size_t bytes = 0;
  std::vector<Transfer> sends, receives;
};

struct Stream {
  Gpu gpu;
  std::vector<Work> work;   // a ring: its vectors keep what they have allocated
  std::uint64_t queued = 0, done = 0, marked = 0;
  std::uint64_t launched = 0;   // what is queued up to here may run
  int groups_queued = 0, groups_begun = 0;
  bool group_begun = false;
  int asked_in_error = 0;
  std::shared_ptr<Communicator> communicator;
  bool aborted = false;
  enum class Awaits { nothing, launch, others_to_open, others_to_finalize };
  Awaits awaits = Awaits::nothing;
  int polls_to_settle = 0;
  std::mt19937 random;
};

}  // namespace

struct NcclStandIn::Hub {
  Hub(int ranks, NcclFaults const& given, unsigned seed, Pace its_pace) : faults{given}, pace{its_pace}, sends_end_early{seed % 2 == 0}, streams(static_cast<std::size_t>(ranks)) {
    for (Stream& stream : streams) {
      stream.random.seed(seed++);
      stream.work.resize(most_queued);
      for (Work& work : stream.work) {
        work.sends.reserve(streams.size());
        work.receives.reserve(streams.size());
      }
    }
  }

  /// Everything runs as far as it can, whoever looks.
  void run() {
    for (bool moved = true; moved;) {
      moved = false;
      for (Rank rank = 0; rank < static_cast<Rank>(streams.size()); ++rank)
        while (step(rank)) moved = true;
    }
  }

  Stream& of(Rank rank) { return streams[static_cast<std::size_t>(rank)]; }
  Wire& wire(Stream& stream, Rank from, Rank to) { return stream.communicator->wires[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)]; }

  bool step(Rank rank) {
    Stream& stream = of(rank);
    if (stream.done == stream.launched) return false;
    Work& work = stream.work[stream.done % most_queued];
    if (work.kind == Work::Kind::in) stream.gpu.copy_in(work.device, {work.from, work.bytes});
    if (work.kind == Work::Kind::out) stream.gpu.copy_out({work.into, work.bytes}, work.device);
    if (work.kind == Work::Kind::group && !run_group(rank, stream, work)) return false;
    ++stream.done;
    return true;
  }

  bool run_group(Rank rank, Stream& stream, Work& work) {
    if (stream.aborted) return faults.abort_ends;
    if (!stream.group_begun) {
      bool const stops = faults.silent == rank && stream.groups_begun >= faults.at_group;
      if (stops) return false;
      stream.group_begun = true;
      ++stream.groups_begun;
    }
    bool all = true;
    for (Transfer& send : work.sends) {
      Wire& way = wire(stream, rank, send.what.peer);
      if (send.number == 0 && !way.full) put(rank, stream, way, send);
      send.done = send.number > 0 && (sends_end_early || way.received >= send.number);
      all = all && send.done;
    }
    for (Transfer& receive : work.receives) {
      if (!receive.done) receive.done = take(stream, wire(stream, receive.what.peer, rank), receive.what);
      all = all && receive.done;
    }
    if (all) stream.group_begun = false;
    return all;
  }

  void put(Rank rank, Stream& stream, Wire& way, Transfer& send) {
    way.bytes.resize(send.what.bytes);
    stream.gpu.copy_out(way.bytes, send.what.device);
    bool const damaged = faults.flips == rank && stream.groups_begun - 1 == faults.at_group && faults.flipped_byte < way.bytes.size();
    if (damaged) way.bytes[faults.flipped_byte] ^= std::byte{1};
    way.full = true;
    send.number = ++way.sent;
  }

  bool take(Stream& stream, Wire& way, NcclTransfer const& into) {
    if (!way.full) return false;
    if (way.bytes.size() != into.bytes) throw std::logic_error("a transfer's sizes differ at its ends");
    stream.gpu.copy_in(into.device, way.bytes);
    way.full = false;
    way.received = way.sent;
    return true;
  }

  NcclFaults faults;
  Pace pace;
  bool sends_end_early;   // as small ones do: they are on their way before their peer is there
  std::mutex mutex;
  std::deque<Stream> streams;   // [rank]
  std::map<std::byte, std::shared_ptr<Communicator>> communicators;   // by the id's first byte
  unsigned ids = 0;
};

class NcclStandIn::Device : public NcclDevice {
 public:
  Device(Hub& hub, Rank rank) : hub_{hub}, rank_{rank}, mine_{hub.of(rank)} {}

  DeviceMemory& memory() override { return mine_.gpu; }

  NcclId make_id() override {
    std::lock_guard const lock{hub_.mutex};
    NcclId id{};
    id[0] = static_cast<std::byte>(++hub_.ids);
    return id;
  }

  void open(NcclId const& id, int ranks, Rank rank) override {
    std::lock_guard const lock{hub_.mutex};
    if (rank != rank_ || ranks != static_cast<int>(hub_.streams.size())) throw std::logic_error("opened as another rank");
    auto& communicator = hub_.communicators[id[0]];
    if (communicator == nullptr) communicator = std::make_shared<Communicator>(hub_.streams.size());
    mine_.communicator = communicator;
    mine_.aborted = false;
    mine_.groups_queued = mine_.groups_begun = 0;
    if (hub_.faults.never_opens != rank_) ++communicator->opened;
    begin(Stream::Awaits::others_to_open);
  }

  bool settled() override {
    std::lock_guard const lock{hub_.mutex};
    if (mine_.communicator == nullptr) throw std::logic_error("asked about no communicator");
    if (hub_.faults.in_error == rank_ && mine_.groups_queued > hub_.faults.at_group && mine_.asked_in_error++ >= hub_.faults.asked)
      throw RunError("NCCL could not go on: remote process exited or there was a network error");
    hub_.run();
    if (mine_.polls_to_settle > 0) {
      --mine_.polls_to_settle;
      return false;
    }
    if (mine_.awaits == Stream::Awaits::others_to_open && mine_.communicator->opened < hub_.streams.size()) return false;
    if (mine_.awaits == Stream::Awaits::others_to_finalize && mine_.communicator->finalized < hub_.streams.size()) return false;
    mine_.awaits = Stream::Awaits::nothing;
    mine_.launched = mine_.queued;
    return true;
  }

  void copy_in(std::byte* device, std::span<std::byte const> host) override {
    mine_.gpu.expect_pinned(host);
    queue(Work::Kind::in, device, host.data(), nullptr, host.size());
  }
  void copy_out(std::span<std::byte> host, std::byte const* device) override {
    mine_.gpu.expect_pinned(host);
    queue(Work::Kind::out, const_cast<std::byte*>(device), nullptr, host.data(), host.size());
  }
  void transfer(std::span<NcclTransfer const> sends, std::span<NcclTransfer const> receives) override {
    std::lock_guard const lock{hub_.mutex};
    if (hub_.faults.refused == rank_ && mine_.groups_queued == hub_.faults.at_group) throw RunError("NCCL could not send: invalid argument");
    Work& work = add(Work::Kind::group);
    for (NcclTransfer const& send : sends) work.sends.push_back({send});
    for (NcclTransfer const& receive : receives) work.receives.push_back({receive});
    ++mine_.groups_queued;
    begin(Stream::Awaits::launch);
  }
  void mark() override {
    queue(Work::Kind::mark, nullptr, nullptr, nullptr, 0);
    mine_.marked = mine_.queued;
  }
  bool passed() override {
    std::lock_guard const lock{hub_.mutex};
    hub_.run();
    return mine_.done >= mine_.marked;
  }

  void finalize() override {
    std::lock_guard const lock{hub_.mutex};
    ++mine_.communicator->finalized;
    begin(Stream::Awaits::others_to_finalize);
  }
  void close() override {
    std::lock_guard const lock{hub_.mutex};
    expect_settled();
    mine_.communicator = nullptr;
  }
  void abort() noexcept override {
    std::lock_guard const lock{hub_.mutex};
    mine_.aborted = true;
    mine_.launched = mine_.queued;
    mine_.awaits = Stream::Awaits::nothing;
  }

 private:
  void expect_settled() const {
    if (mine_.awaits != Stream::Awaits::nothing) throw std::logic_error("something was asked of NCCL before it had settled");
  }
  void begin(Stream::Awaits what) {
    expect_settled();
    mine_.awaits = what;
    if (hub_.pace == Pace::in_turns) mine_.polls_to_settle = static_cast<int>(mine_.random() % 3);
    else if (what == Stream::Awaits::launch) mine_.launched = mine_.queued;
  }
  Work& add(Work::Kind kind) {
    expect_settled();
    if (mine_.queued - mine_.done == most_queued) throw std::logic_error("more is queued than the stand-in has room for");
    Work& work = mine_.work[mine_.queued++ % most_queued];
    work.kind = kind;
    work.sends.clear();
    work.receives.clear();
    return work;
  }
  void queue(Work::Kind kind, std::byte* device, std::byte const* from, std::byte* into, std::size_t bytes) {
    std::lock_guard const lock{hub_.mutex};
    Work& work = add(kind);
    work.device = device;
    work.from = from;
    work.into = into;
    work.bytes = bytes;
    mine_.launched = mine_.queued;
  }

  Hub& hub_;
  Rank rank_;
  Stream& mine_;
};

NcclStandIn::NcclStandIn(int ranks, NcclFaults const& faults, unsigned seed, Pace pace) : hub_{std::make_unique<Hub>(ranks, faults, seed, pace)} {}
NcclStandIn::~NcclStandIn() = default;

std::unique_ptr<NcclDevice> NcclStandIn::device(Rank rank) { return std::make_unique<Device>(*hub_, rank); }

int NcclStandIn::groups(Rank rank) const { return hub_->of(rank).groups_begun - 1; }

std::size_t NcclStandIn::in_use() const {
  std::size_t sum = 0;
  for (Stream const& stream : hub_->streams) sum += stream.gpu.in_use();
  return sum;
}

}  // namespace pikv::comm::test
