#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "comm/checked_transport.hpp"
#include "comm/fault_clock.hpp"
#include "comm/op_slots.hpp"

namespace pikv::comm {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

/// Bounds are checked when an operation is asked for, as without faults, not when it lands.
class FaultyTransport : public Transport, public Held {
 public:
  FaultyTransport(FaultClock& clock, std::unique_ptr<Transport> inner)
      : clock_{clock}, inner_{std::move(inner)}, checked_{dynamic_cast<CheckedTransport&>(*inner_)} {
    clock_.held.push_back(this);
  }
  ~FaultyTransport() override { std::erase(clock_.held, this); }
  FaultyTransport(FaultyTransport const&) = delete;   // the clock refers to it

  std::string_view name() const override { return inner_->name(); }
  Region allocate(std::size_t bytes, Space space) override { return inner_->allocate(bytes, space); }
  Op put(Rank to, Offset at, std::span<std::byte const> bytes) override;
  Op get(Rank from, Offset at, std::span<std::byte> into) override;
  Op flush(Rank to) override;
  Op fetch_add(Rank to, Offset at, std::uint64_t add, std::uint64_t* before) override;
  void poll() override;
  bool test(Op op) override;
  Status wait(Op op, Deadline deadline) override;
  TransportCounts const& counts() const override { return inner_->counts(); }

  void advance() override;
  double next_due() const override;

 private:
  /// A copy of what was put, to land at a moment, with the next flush of its peer, or just before that flush ends.
  enum class When { due, with_flush, end_of_flush };
  struct HeldPut {
    When when;
    double due;
    Rank to;
    Offset at;
    std::vector<std::byte> bytes;
  };
  struct Landing {
    Op op;
    std::vector<std::byte> bytes;
  };
  struct State {
    double due = 0;               // not complete before
    std::optional<Op> inner = {};
    Rank to_flush = -1;           // a flush
    Rank from = -1;               // a get that starts late, or whose bytes are damaged
    Offset at = {};
    std::span<std::byte> into = {};
    std::optional<std::uint64_t> flip = {};
  };
  std::span<std::byte> hold(When when, double due, Rank to, Offset at, std::span<std::byte const> bytes);
  template <typename Condition>
  bool land_if(Condition condition);
  bool land(When when, Rank to);
  bool flush_done(State& state);

  FaultClock& clock_;
  std::unique_ptr<Transport> inner_;
  CheckedTransport& checked_;   // the same
  OpSlots<State> ops_;
  std::vector<HeldPut> held_;
  std::vector<Landing> landing_;
  std::vector<double> late_gets_;   // when gets that were held back are due
};

Op FaultyTransport::put(Rank to, Offset at, std::span<std::byte const> bytes) {
  checked_.check_inside(to, at, bytes.size());
  auto const [fault, detail] = clock_.source.draw(Operation::put, bytes.size());
  State state{.due = clock_.due_after(fault)};
  if (fault == Fault::truncate) bytes = bytes.first(detail % bytes.size());
  if (fault == Fault::duplicate) hold(When::end_of_flush, never, to, at, bytes);
  if (fault == Fault::drop) return ops_.take(state);
  if (fault == Fault::reorder) {
    hold(When::with_flush, never, to, at, bytes);
  } else if (fault == Fault::flip) {
    flip_bit(hold(When::due, state.due, to, at, bytes), detail);
    advance();
  } else if (state.due > clock_.world.now()) {
    hold(When::due, state.due, to, at, bytes);
  } else {
    state.inner = inner_->put(to, at, bytes);
  }
  return ops_.take(state);
}

Op FaultyTransport::get(Rank from, Offset at, std::span<std::byte> into) {
  checked_.check_inside(from, at, into.size());
  auto const [fault, detail] = clock_.source.draw(Operation::get, into.size());
  State state{.due = clock_.due_after(fault), .from = from, .at = at, .into = into};
  if (fault == Fault::drop) state.from = -1;
  if (fault == Fault::truncate) state.into = into.first(detail % into.size());
  if (fault == Fault::flip) state.flip = detail;
  if (state.due > clock_.world.now()) late_gets_.push_back(state.due);
  else if (state.from >= 0) state.inner = inner_->get(from, at, state.into);
  return ops_.take(state);
}

Op FaultyTransport::flush(Rank to) {
  State state{.due = clock_.due_after(Fault::none), .to_flush = to};
  for (HeldPut const& put : held_)
    if (put.when == When::due && put.to == to) state.due = std::max(state.due, put.due);
  return ops_.take(state);
}

Op FaultyTransport::fetch_add(Rank to, Offset at, std::uint64_t add, std::uint64_t* before) {
  return ops_.take({.inner = inner_->fetch_add(to, at, add, before)});
}

void FaultyTransport::poll() {
  inner_->poll();
  clock_.advance();
}

bool FaultyTransport::test(Op op) {
  clock_.advance();
  State& state = ops_.at(op);
  if (clock_.world.now() < std::max(state.due, clock_.stalled_until)) return false;
  if (state.to_flush >= 0) return flush_done(state);
  if (state.from >= 0 && !state.inner) state.inner = inner_->get(state.from, state.at, state.into);
  return !state.inner || inner_->test(*state.inner);
}

bool FaultyTransport::flush_done(State& state) {
  if (!state.inner) {
    land(When::with_flush, state.to_flush);
    state.inner = inner_->flush(state.to_flush);
  }
  while (inner_->test(*state.inner)) {
    if (!land(When::end_of_flush, state.to_flush)) return true;
    (void)inner_->wait(*state.inner, {clock_.world.now()});
    state.inner = inner_->flush(state.to_flush);
  }
  return false;
}

Status FaultyTransport::wait(Op op, Deadline deadline) {
  Status status = clock_.world.wait([&] { return test(op); }, deadline);
  State& state = ops_.at(op);
  if (state.inner) {
    Status const inner = inner_->wait(*state.inner, {clock_.world.now()});
    if (status == Status::arrived) status = inner;
  }
  if (status == Status::arrived && state.flip) flip_bit(state.into, *state.flip);
  ops_.release(op);
  return status;
}

std::span<std::byte> FaultyTransport::hold(When when, double due, Rank to, Offset at, std::span<std::byte const> bytes) {
  return held_.emplace_back(HeldPut{when, due, to, at, {bytes.begin(), bytes.end()}}).bytes;
}

template <typename Condition>
bool FaultyTransport::land_if(Condition condition) {
  auto const landed = std::stable_partition(held_.begin(), held_.end(), std::not_fn(condition));
  bool const any = landed != held_.end();
  for (auto put = landed; put != held_.end(); ++put) {
    Op const op = inner_->put(put->to, put->at, put->bytes);
    landing_.push_back({op, std::move(put->bytes)});
  }
  held_.erase(landed, held_.end());
  return any;
}

bool FaultyTransport::land(When when, Rank to) {
  return land_if([&](HeldPut const& put) { return put.when == when && put.to == to; });
}

void FaultyTransport::advance() {
  double const now = clock_.world.now();
  land_if([&](HeldPut const& put) { return put.due <= now; });
  std::erase_if(late_gets_, [&](double due) { return due <= now; });
  std::erase_if(landing_, [&](Landing const& each) {
    bool const done = inner_->test(each.op);
    if (done) (void)inner_->wait(each.op, {now});
    return done;
  });
}

double FaultyTransport::next_due() const {
  double soonest = never;
  for (HeldPut const& put : held_) soonest = std::min(soonest, put.due);
  for (double const due : late_gets_) soonest = std::min(soonest, due);
  return soonest;
}

}  // namespace

std::unique_ptr<Transport> make_faulty_transport(FaultClock& clock, std::unique_ptr<Transport> inner) {
  return std::make_unique<FaultyTransport>(clock, std::move(inner));
}

}  // namespace pikv::comm
