#include "comm/nccl_put_transport.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <limits>
#include <optional>
#include <vector>

#include "comm/checked_transport.hpp"
#include "comm/error.hpp"
#include "comm/op_slots.hpp"
#include "comm/setup.hpp"

namespace pikv::comm {
namespace {

constexpr std::size_t most_pieces = 64;   // queued at once

/// Bytes of one half of the staging memory, and where they go.
struct Half {
  struct Piece {
    std::byte* to;
    std::size_t from, bytes;   // `from`: offset in the half
  };
  std::vector<Piece> pieces;
  std::size_t filled = 0;
  std::uint64_t last = 0;   // put whose last byte is here
};

struct Staging {
  Staging(NcclSession& session, std::size_t bytes) : half_bytes{bytes / 2}, host{session, 2 * half_bytes}, device{session, 2 * half_bytes} {
    for (Half& half : halves) half.pieces.reserve(most_pieces);
  }
  std::size_t half_bytes;
  NcclHostBuffer host;
  NcclBuffer device;
  std::array<Half, 2> halves;
  std::size_t filling = 0;   // which half
};

class NcclPutTransport : public CheckedTransport, private NcclSession::Round {
 public:
  NcclPutTransport(World& world, std::unique_ptr<Transport> inner, NcclWindows& windows, std::size_t staging_bytes)
      : CheckedTransport{world}, windows_{windows}, staging_bytes_{staging_bytes}, inner_{std::move(inner)} {}
  ~NcclPutTransport() override;
  NcclPutTransport(NcclPutTransport const&) = delete;   // the session refers to it

  std::string_view name() const override { return inner_->name(); }
  Region allocate(std::size_t bytes, Space space) override;
  Op put(Rank to, Offset at, std::span<std::byte const> bytes) override;
  Op get(Rank from, Offset at, std::span<std::byte> into) override;
  Op flush(Rank to) override;
  Op fetch_add(Rank to, Offset at, std::uint64_t add, std::uint64_t* before) override;
  void poll() override;
  bool test(Op op) override;
  Status wait(Op op, Deadline deadline) override;

 private:
  static constexpr std::uint64_t no_put = std::numeric_limits<std::uint64_t>::max();
  struct State {
    std::optional<Op> inner = {};
    std::uint64_t put = 0;      // done when the bytes of this put are staged
    std::uint64_t landed = 0;   // done when this put and all before it are where they go
  };
  struct Waiting {
    std::uint64_t put;
    std::byte* to;
    std::span<std::byte const> bytes;   // not staged yet
  };
  void make_window(Region const& region);
  bool all_have(std::size_t bytes, RegionId region) const;
  void go_on();
  void stage();
  Half& filling() { return staging_->halves[staging_->filling]; }
  Half& sending() { return staging_->halves[1 - staging_->filling]; }

  void post(NcclDevice& device) override;
  void collect(NcclDevice&) override {}
  bool take() override;

  NcclWindows& windows_;
  std::size_t staging_bytes_;
  std::unique_ptr<Transport> inner_;
  std::optional<Staging> staging_;       // from the first window on
  std::vector<NcclWindow> of_regions_;   // [region] reaches nobody where there is none
  std::vector<Waiting> waiting_;         // oldest first
  std::uint64_t puts_ = 0, staged_ = 0, landed_ = 0;
  bool under_way_ = false;
  std::uint64_t lost_ = no_put;   // the first that was given up: no flush after it ends
  OpSlots<State> ops_;
};

NcclPutTransport::~NcclPutTransport() {
  bool calm = lost_ == no_put && std::uncaught_exceptions() == 0;
  try {
    auto const all_landed = [this] {
      go_on();
      return landed_ == puts_;
    };
    if (calm) calm = world().wait(all_landed, world().in(setup_seconds)) == Status::arrived;
    if (calm) world().barrier(world().in(setup_seconds));   // nobody reaches into this rank's memory any more
    for (NcclWindow const& window : of_regions_)
      if (calm && !window.reach.empty()) windows_.close(window);
  } catch (RunError const&) {   // the job is over: peers keep the memory mapped, and so it stays
  }
  waiting_.clear();   // a last look at what was under way would go on to bytes that may be the callers' again
  windows_.session().give_up(*this);
}

Region NcclPutTransport::allocate(std::size_t bytes, Space space) {
  Region const region = inner_->allocate(bytes, space);
  (void)agree_on_region(bytes);
  of_regions_.emplace_back();
  if (space == Space::device && windows_.why_not().empty()) make_window(region);
  return region;
}

void NcclPutTransport::make_window(Region const& region) {
  if (!all_have(region.bytes, region.id)) return windows_.give_up("the ranks' parts of it differ in size");
  if (region.bytes == 0) return;
  of_regions_[region.id] = windows_.open({region.data, region.bytes});
  if (!staging_ && windows_.reached().value_or(0) > 0) staging_.emplace(windows_.session(), staging_bytes_);
}

Op NcclPutTransport::put(Rank to, Offset at, std::span<std::byte const> bytes) {
  check_put(to, at, bytes.size());
  auto const& reach = of_regions_[at.region].reach;
  bool const none = reach.empty() || !windows_.why_not().empty();
  std::byte* const part = none ? nullptr : reach[static_cast<std::size_t>(to)];
  if (part == nullptr || bytes.empty()) return ops_.take({.inner = inner_->put(to, at, bytes)});
  waiting_.push_back({++puts_, part + at.byte, bytes});
  Op const op = ops_.take({.put = puts_});
  go_on();
  return op;
}

Op NcclPutTransport::get(Rank from, Offset at, std::span<std::byte> into) {
  check_get(from, at, into.size());
  return ops_.take({.inner = inner_->get(from, at, into)});
}

Op NcclPutTransport::flush(Rank to) {
  count_flush();
  return ops_.take({.inner = inner_->flush(to), .landed = puts_});
}

Op NcclPutTransport::fetch_add(Rank to, Offset at, std::uint64_t add, std::uint64_t* before) {
  check_atomic(to, at);
  return ops_.take({.inner = inner_->fetch_add(to, at, add, before)});
}

void NcclPutTransport::poll() {
  inner_->poll();
  go_on();
}

bool NcclPutTransport::test(Op op) {
  State const& state = ops_.at(op);
  go_on();
  if (state.landed >= lost_) return false;
  return staged_ >= state.put && landed_ >= state.landed && (!state.inner || inner_->test(*state.inner));
}

Status NcclPutTransport::wait(Op op, Deadline deadline) {
  Status status = world().wait([&] { return test(op); }, deadline);
  State const state = ops_.at(op);
  if (state.inner) {
    Status const inner = inner_->wait(*state.inner, {world().now()});
    if (status == Status::arrived) status = inner;
  }
  if (status != Status::arrived && staged_ < state.put) {   // its bytes are the caller's again
    std::erase_if(waiting_, [&](Waiting const& put) { return put.put == state.put; });
    lost_ = std::min(lost_, state.put);
  }
  ops_.release(op);
  return status;
}

bool NcclPutTransport::all_have(std::size_t bytes, RegionId region) const {
  for (Rank rank = 0; rank < world().size(); ++rank)
    if (part_bytes(rank, region) != bytes) return false;
  return true;
}

void NcclPutTransport::go_on() {
  if (landed_ == puts_) return;
  try {
    if (!windows_.session().ended()) stage();
    if (under_way_) return windows_.session().progress();
    if (filling().pieces.empty()) return;
    under_way_ = true;
    windows_.session().begin(*this);
  } catch (...) {
    waiting_.clear();   // their bytes are the callers' again
    lost_ = std::min(lost_, landed_ + 1);
    throw;
  }
}

void NcclPutTransport::stage() {
  Half& half = filling();
  std::size_t done = 0;
  while (done < waiting_.size() && half.filled < staging_->half_bytes && half.pieces.size() < most_pieces) {
    Waiting& put = waiting_[done];
    std::size_t const bytes = std::min(put.bytes.size(), staging_->half_bytes - half.filled);
    std::memcpy(staging_->host.bytes().data() + staging_->filling * staging_->half_bytes + half.filled, put.bytes.data(), bytes);
    half.pieces.push_back({put.to, half.filled, bytes});
    half.filled += bytes;
    put.to += bytes;
    put.bytes = put.bytes.subspan(bytes);
    if (!put.bytes.empty()) break;
    staged_ = half.last = put.put;
    ++done;
  }
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(done));
}

void NcclPutTransport::post(NcclDevice& device) {
  std::size_t const offset = staging_->filling * staging_->half_bytes;
  staging_->filling = 1 - staging_->filling;
  std::byte* const staged = staging_->device.bytes().data() + offset;
  device.copy_in(staged, staging_->host.bytes().subspan(offset, sending().filled));
  for (auto const& [to, from, bytes] : sending().pieces) device.copy_across(to, staged + from, bytes);
}

bool NcclPutTransport::take() {
  Half& sent = sending();
  landed_ = std::max(landed_, sent.last);
  sent.pieces.clear();
  sent.filled = 0;
  stage();
  under_way_ = !filling().pieces.empty();
  return !under_way_;
}

}  // namespace

std::unique_ptr<Transport> make_nccl_put_transport(World& world, std::unique_ptr<Transport> inner, NcclWindows& windows, std::size_t staging_bytes) {
  return std::make_unique<NcclPutTransport>(world, std::move(inner), windows, staging_bytes);
}

}  // namespace pikv::comm
