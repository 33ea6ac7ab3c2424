#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <mutex>
#include <vector>

#include "comm/checked_transport.hpp"
#include "comm/error.hpp"
#include "comm/op_slots.hpp"
#include "comm/setup.hpp"
#include "comm/ucx_fetch_server.hpp"
#include "comm/ucx_landings.hpp"
#include "comm/ucx_region.hpp"
#include "comm/ucx_world.hpp"

namespace pikv::comm {
namespace {

// Enough to keep a fast network busy, little enough that a slow peer does not hold the memory of a step.
constexpr std::size_t most_in_flight = std::size_t{16} << 20;   // bytes per peer; one larger transfer goes alone

/// Transfers with itself are copies. Where a peer's memory can be read only with its help (TCP), a get is a message that asks for the
/// bytes, and one that brings them: UCX's own emulation takes a round trip per fragment. So it is from device memory that UCX cannot reach;
/// ucx_landings.hpp says how puts get there.
class UcxTransport : public CheckedTransport {
 public:
  explicit UcxTransport(UcxWorld& world);
  ~UcxTransport() override;
  UcxTransport(UcxTransport const&) = delete;   // UCX has pointers to it

  std::string_view name() const override { return "ucx"; }
  Region allocate(std::size_t bytes, Space space) override;
  Op put(Rank to, Offset at, std::span<std::byte const> bytes) override;
  Op get(Rank from, Offset at, std::span<std::byte> into) override;
  Op flush(Rank to) override;
  Op fetch_add(Rank to, Offset at, std::uint64_t add, std::uint64_t* before) override;
  void poll() override;
  bool test(Op op) override;
  Status wait(Op op, Deadline deadline) override;

 private:
  enum class Kind { nothing, put, get, fetch, flush, add };
  struct Transfer : UcxCompletion {
    Transfer() = default;
    Transfer(Kind what, Rank with, Offset where, std::byte* here, std::size_t n) : kind{what}, peer{with}, at{where}, memory{here}, bytes{n} {}
    void done(ucs_status_t with) override;

    Kind kind = Kind::nothing;
    Rank peer = 0;
    Offset at;
    std::byte* memory = nullptr;   // of this rank: put from, or brought to
    std::size_t bytes = 0;
    std::uint64_t operand = 0;     // of add
    UcxHeader request;             // of fetch
    int parts = 0;                 // not ended yet
    ucs_status_t status = UCS_OK;
    UcxTransport* transport = nullptr;
  };
  struct Lane {   // to a peer
    std::size_t in_flight = 0;
    std::deque<Op> waiting;   // in order; a flush among them starts after all before it
    bool room_for(std::size_t bytes) const { return in_flight == 0 || in_flight + bytes <= most_in_flight; }
  };
  Lane& lane(Rank peer) { return lanes_[static_cast<std::size_t>(peer)]; }
  UcxRegion& region(Offset at) { return *regions_[at.region]; }
  bool test_locked(Op op);
  Op ended_at_once() {
    UcxWorker::Lock const lock{worker_.mutex()};
    return ops_.take({});
  }
  void give_up(Op op);
  Op post(Transfer transfer);
  void start(Op op);
  void start_waiting();
  void take_fetched(UcxArrival const& message);

  UcxWorld& ucx_;
  UcxWorker& worker_;
  std::vector<std::unique_ptr<UcxRegion>> regions_;
  std::vector<Lane> lanes_;
  std::size_t waiting_ = 0;   // in all lanes
  OpSlots<Transfer> ops_;     // an operation whose wait ended badly keeps its slot: UCX may still work on it
  UcxFetchServer server_;
  int channel_, after_progress_;
  UcxLandings landings_;
};

UcxTransport::UcxTransport(UcxWorld& world)
    : CheckedTransport{world},
      ucx_{world},
      worker_{world.worker()},
      lanes_(static_cast<std::size_t>(world.size())),
      server_{worker_, world.rank()},
      channel_{world.next_transport()},
      landings_{worker_, world.rank(), world.size(), channel_} {
  for (UcxMessage const what : {UcxMessage::fetch, UcxMessage::land})
    worker_.on(what, channel_, [this, what](UcxArrival const& message) { server_.ask(what, message.header); });
  worker_.on(UcxMessage::landed, channel_, [this](UcxArrival const& message) { landings_.copied(message.header); });
  worker_.on(UcxMessage::fetched, channel_, [this](UcxArrival const& message) { take_fetched(message); });
  after_progress_ = worker_.after_progress([this] {
    server_.serve(regions_);
    landings_.go_on();
    if (waiting_ > 0) start_waiting();
  });
}

UcxTransport::~UcxTransport() {
  auto const answered = [this] {
    worker_.progress();
    UcxWorker::Lock const lock{worker_.mutex()};
    return server_.all_sent() && landings_.all_sent();
  };
  // Nobody puts into this memory any more, and nobody still reads from it.
  bool const calm = ucx_.all_come() && ucx_.wait(answered, ucx_.in(setup_seconds)) == Status::arrived;
  if (!calm) worker_.freeze();
  for (UcxMessage const what : {UcxMessage::fetch, UcxMessage::fetched, UcxMessage::land, UcxMessage::landed}) worker_.no_longer_on(what, channel_);
  worker_.forget(after_progress_);
  UcxWorker::Lock const lock{worker_.mutex()};
  for (auto& region : regions_)
    if (!calm) region->release();   // peers may still write there
  regions_.clear();
}

Region UcxTransport::allocate(std::size_t bytes, Space space) {
  auto made = std::make_unique<UcxRegion>(ucx_, bytes, space);
  std::byte* const data = made->data();
  if (space == Space::device) ucx_.set_device_path(made->staged() ? "staged through pinned host memory" : "reached by UCX itself");
  {
    UcxWorker::Lock const lock{worker_.mutex()};
    regions_.push_back(std::move(made));
  }
  return {agree_on_region(bytes), data, bytes};
}

Op UcxTransport::put(Rank to, Offset at, std::span<std::byte const> bytes) {
  check_put(to, at, bytes.size());
  if (bytes.empty()) return ended_at_once();
  if (to == ucx_.rank()) {
    region(at).copy_in(at.byte, bytes);
    return ended_at_once();
  }
  return post({Kind::put, to, at, const_cast<std::byte*>(bytes.data()), bytes.size()});   // only read
}

Op UcxTransport::get(Rank from, Offset at, std::span<std::byte> into) {
  check_get(from, at, into.size());
  if (into.empty()) return ended_at_once();
  if (from == ucx_.rank()) {
    region(at).copy_out(into, at.byte);
    return ended_at_once();
  }
  return post({Kind::get, from, at, into.data(), into.size()});
}

Op UcxTransport::flush(Rank to) {
  count_flush();
  if (to == ucx_.rank()) return ended_at_once();
  return post({Kind::flush, to, {}, nullptr, 0});
}

Op UcxTransport::fetch_add(Rank to, Offset at, std::uint64_t add, std::uint64_t* before) {
  check_atomic(to, at);
  if (region(at).device() != nullptr) throw std::logic_error("a fetch_add in device memory; keep counters in host memory");
  if (to == ucx_.rank()) {
    *before = std::atomic_ref{*reinterpret_cast<std::uint64_t*>(region(at).data() + at.byte)}.fetch_add(add);
    return ended_at_once();
  }
  Transfer transfer{Kind::add, to, at, reinterpret_cast<std::byte*>(before), sizeof add};
  transfer.operand = add;
  return post(transfer);
}

Op UcxTransport::post(Transfer transfer) {
  UcxWorker::Lock const lock{worker_.mutex()};
  transfer.parts = 1;
  transfer.transport = this;
  Lane& to = lane(transfer.peer);
  Op const op = ops_.take(transfer);
  if (to.waiting.empty() && to.room_for(transfer.bytes)) {
    start(op);
  } else {
    to.waiting.push_back(op);
    ++waiting_;
  }
  return op;
}

void UcxTransport::start_waiting() {
  for (Lane& to : lanes_)
    while (!to.waiting.empty() && to.room_for(ops_.at(to.waiting.front()).bytes)) {
      Op const op = to.waiting.front();
      to.waiting.pop_front();
      --waiting_;
      start(op);
    }
}

void UcxTransport::start(Op op) {
  Transfer& it = ops_.at(op);
  lane(it.peer).in_flight += it.bytes;
  auto params = UcxWorker::completes(it);
  ucp_ep_h const endpoint = worker_.endpoint(it.peer);
  if (it.kind == Kind::flush && landings_.needed(it.peer)) return landings_.flush(it.peer, it);
  if (it.kind == Kind::flush) return UcxWorker::settle(ucp_ep_flush_nbx(endpoint, &params), it);
  if (it.kind == Kind::get && (region(it.at).staged(it.peer) || !worker_.one_sided(it.peer))) {
    it.kind = Kind::fetch;
    it.parts = 2;   // the request, and the bytes
    it.request = {ucx_.rank(), channel_, std::uint64_t{op.index} << 32 | op.serial, it.at.region, it.at.byte, it.bytes};
    return worker_.send(it.peer, UcxMessage::fetch, it.request, {}, it);
  }
  if (it.kind == Kind::put && region(it.at).staged(it.peer)) landings_.put(it.peer, it.at, it.bytes);
  auto const there = region(it.at).of(it.peer, endpoint, it.at.byte);
  if (it.kind == Kind::put) return UcxWorker::settle(ucp_put_nbx(endpoint, it.memory, it.bytes, there.address, there.key, &params), it);
  if (it.kind == Kind::get) return UcxWorker::settle(ucp_get_nbx(endpoint, it.memory, it.bytes, there.address, there.key, &params), it);
  params.op_attr_mask |= UCP_OP_ATTR_FIELD_DATATYPE | UCP_OP_ATTR_FIELD_REPLY_BUFFER;
  params.datatype = ucp_dt_make_contig(sizeof it.operand);
  params.reply_buffer = it.memory;
  UcxWorker::settle(ucp_atomic_op_nbx(endpoint, UCP_ATOMIC_OP_ADD, &it.operand, 1, there.address, there.key, &params), it);
}

void UcxTransport::Transfer::done(ucs_status_t with) {
  if (with != UCS_OK) status = with;
  if (--parts == 0) transport->lane(peer).in_flight -= bytes;
}

void UcxTransport::take_fetched(UcxArrival const& message) {
  std::uint64_t const number = message.header.number;
  Transfer* const it = ops_.find({static_cast<std::uint32_t>(number >> 32), static_cast<std::uint32_t>(number)});
  bool const wanted = it != nullptr && it->kind == Kind::fetch && it->peer == message.header.from && it->bytes == message.bytes;
  if (!wanted) return;
  std::span<std::byte> const into{it->memory, it->bytes};
  if (message.at_sender) return worker_.receive(message, into, *it);
  std::memcpy(into.data(), message.data, into.size());
  it->done(UCS_OK);
}

void UcxTransport::poll() { worker_.progress(); }   // its lock orders what is read afterwards

bool UcxTransport::test(Op op) {
  UcxWorker::Lock const lock{worker_.mutex()};
  return test_locked(op);
}

bool UcxTransport::test_locked(Op op) {
  Transfer const& it = ops_.at(op);
  if (it.parts > 0) worker_.progress_locked();
  return it.parts == 0;
}

Status UcxTransport::wait(Op op, Deadline deadline) {
  std::unique_lock lock{worker_.mutex()};
  if (!test_locked(op)) {
    lock.unlock();
    Status const status = ucx_.wait([&] { return test(op); }, deadline);
    lock.lock();
    if (status != Status::arrived) {
      give_up(op);
      return status;
    }
  }
  Transfer const it = ops_.at(op);
  ops_.release(op);
  if (it.status == UCS_OK) return Status::arrived;
  if (!worker_.gone(it.peer)) check_ucx(it.status, fmt::format("move bytes to or from rank {} ({})", it.peer, ucx_.host_name(it.peer)).c_str());
  return Status::peer_gone;
}

// It keeps its slot: UCX may still work on it. What has not begun never does, and an answer that has not begun to come is not taken.
void UcxTransport::give_up(Op op) {
  Transfer& it = ops_.at(op);
  it.kind = Kind::nothing;
  waiting_ -= std::erase_if(lane(it.peer).waiting, [&](Op other) { return other.index == op.index; });
}

}  // namespace

std::unique_ptr<Transport> make_ucx_transport(UcxWorld& world) { return std::make_unique<UcxTransport>(world); }

}  // namespace pikv::comm
