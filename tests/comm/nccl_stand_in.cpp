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

constexpr std::size_t most_bytes = 80'000, most_queued = 128;

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
  std::vector<std::vector<std::span<std::byte>>> windows;   // [in the order in which they were made][rank] empty: not yet, or closed
  std::vector<std::size_t> registered;                      // [window] ranks
};

struct Transfer {
  NcclTransfer what;
  bool done = false;
  std::uint64_t number = 0;   // of the wire, of a send that is on its way
};

struct Work {
  enum class Kind { in, out, group, across, mark };
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
  int looks = 0;            // for the mark, that have not seen it
  bool copies_now = false;  // to windows
  std::vector<std::byte> scratch;
  int copies = 0, copies_queued = 0;
  std::size_t windows = 0;  // that it has begun to make
  std::shared_ptr<Communicator> communicator;
  bool aborted = false;
  enum class Awaits { nothing, launch, others_to_open, others_to_register, others_to_finalize };
  Awaits awaits = Awaits::nothing;
  int polls_to_settle = 0;
  std::mt19937 random;
};

}  // namespace

struct NcclStandIn::Hub {
  Hub(int ranks, NcclFaults const& given, unsigned seed, Pace its_pace, WindowsInOne const& its_windows)
      : faults{given}, pace{its_pace}, windows{its_windows}, sends_end_early{seed % 2 == 0}, streams(static_cast<std::size_t>(ranks)) {
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
    if (work.kind == Work::Kind::across) return copy_some(rank, stream);
    if (work.kind == Work::Kind::group && !run_group(rank, stream, work)) return false;
    ++stream.done;
    return true;
  }

  /// One of the copies to windows that are next in the stream.
  bool copy_some(Rank rank, Stream& stream) {
    if (stream.aborted) return faults.abort_ends && skip(stream);
    bool const stopped = faults.stops_copying == rank && stream.copies >= faults.at_copy;
    if (stopped || !stream.copies_now) return false;
    std::uint64_t end = stream.done;
    while (end < stream.launched && stream.work[end % most_queued].kind == Work::Kind::across) ++end;
    Work& next = stream.work[stream.done % most_queued];
    std::swap(next, stream.work[(stream.done + stream.random() % (end - stream.done)) % most_queued]);
    expect_reached(rank, stream, {next.into, next.bytes});
    stream.scratch.resize(next.bytes);
    stream.gpu.copy_out(stream.scratch, next.device);
    windows.memory->copy_in(next.into, stream.scratch);
    ++stream.copies;
    return skip(stream);
  }
  static bool skip(Stream& stream) {
    ++stream.done;
    return true;
  }

  void expect_reached(Rank rank, Stream& stream, std::span<std::byte> memory) {
    for (auto const& window : stream.communicator->windows)
      for (Rank peer = 0; peer < static_cast<Rank>(window.size()); ++peer) {
        auto const part = window[static_cast<std::size_t>(peer)];
        if (reaches(rank, peer) && memory.data() >= part.data() && memory.data() + memory.size() <= part.data() + part.size()) return;
      }
    throw std::logic_error("a copy to what is in no window");
  }
  bool reaches(Rank rank, Rank peer) const { return rank / windows.team == peer / windows.team; }

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
  WindowsInOne windows;
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
    mine_.groups_queued = mine_.groups_begun = mine_.looks = mine_.copies = mine_.copies_queued = 0;
    mine_.windows = 0;
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
    if (mine_.awaits == Stream::Awaits::others_to_register && mine_.communicator->registered[mine_.windows - 1] < hub_.streams.size()) return false;
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
  void copy_across(std::byte* to, std::byte const* from, std::size_t bytes) override {
    queue(Work::Kind::across, const_cast<std::byte*>(from), nullptr, to, bytes);
    ++mine_.copies_queued;
  }
  bool passed() override {
    std::lock_guard const lock{hub_.mutex};
    bool const fails = (hub_.faults.fails_copying == rank_ && mine_.copies_queued > hub_.faults.at_copy) || (hub_.faults.fails_ended == rank_ && mine_.aborted);
    if (fails)
      throw RunError("the GPU could not run what was queued: an illegal memory access was encountered");
    mine_.copies_now = mine_.looks > 0 && mine_.random() % 2 == 0;
    hub_.run();
    mine_.copies_now = false;
    bool const there = mine_.done >= mine_.marked;
    mine_.looks = there ? 0 : mine_.looks + 1;
    return there;
  }

  void open_window(std::span<std::byte> memory) override {
    std::lock_guard const lock{hub_.mutex};
    auto& windows = mine_.communicator->windows;
    auto& registered = mine_.communicator->registered;
    std::size_t const window = mine_.windows++;
    if (windows.size() == window) {
      windows.emplace_back(hub_.streams.size());
      registered.push_back(0);
    }
    for (auto const part : windows[window])
      if (!part.empty() && part.size() != memory.size()) throw std::logic_error("a window's parts differ in size");
    windows[window][static_cast<std::size_t>(rank_)] = memory;
    if (hub_.faults.never_registers != rank_) ++registered[window];
    begin(Stream::Awaits::others_to_register);
  }
  NcclWindow opened() override {
    std::lock_guard const lock{hub_.mutex};
    expect_settled();
    if (hub_.faults.no_windows == rank_ && mine_.windows > hub_.faults.from_window) throw RunError("NCCL makes no windows here");
    NcclWindow window{reinterpret_cast<void*>(mine_.windows), {}};   // its number, from 1 on
    for (Rank peer = 0; peer < static_cast<Rank>(hub_.streams.size()); ++peer)
      window.reach.push_back(hub_.reaches(rank_, peer) ? mine_.communicator->windows[mine_.windows - 1][static_cast<std::size_t>(peer)].data() : nullptr);
    return window;
  }
  void close_window(NcclWindow const& window) override {
    std::lock_guard const lock{hub_.mutex};
    if (mine_.aborted) throw std::logic_error("a window closed after its communicator has ended");
    mine_.communicator->windows[reinterpret_cast<std::size_t>(window.registered) - 1][static_cast<std::size_t>(rank_)] = {};
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

NcclStandIn::NcclStandIn(int ranks, NcclFaults const& faults, unsigned seed, Pace pace, WindowsInOne const& windows) : hub_{std::make_unique<Hub>(ranks, faults, seed, pace, windows)} {}
NcclStandIn::~NcclStandIn() = default;

std::unique_ptr<NcclDevice> NcclStandIn::device(Rank rank) { return std::make_unique<Device>(*hub_, rank); }

int NcclStandIn::groups(Rank rank) const { return hub_->of(rank).groups_begun - 1; }

int NcclStandIn::copies(Rank rank) const { return hub_->of(rank).copies; }

std::size_t NcclStandIn::in_use() const {
  std::size_t sum = 0;
  for (Stream const& stream : hub_->streams) sum += stream.gpu.in_use();
  return sum;
}

}  // namespace pikv::comm::test
