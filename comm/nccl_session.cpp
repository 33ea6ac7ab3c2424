#include "comm/nccl_session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <mutex>

#include "comm/error.hpp"

namespace pikv::comm {
namespace {

constexpr double moment = 1;   // what may be under way at an end is waited for so long

/// A few bytes from everyone to everyone.
class Greeting : public NcclSession::Round {
 public:
  explicit Greeting(NcclSession& session) : bytes_{session, 2 * static_cast<std::size_t>(session.world().size()) * some} {
    auto const ranks = static_cast<std::size_t>(session.world().size());
    for (Rank peer = 0; peer < session.world().size(); ++peer) {
      if (peer == session.world().rank()) continue;
      auto* const at = bytes_.bytes().data() + static_cast<std::size_t>(peer) * some;
      sends_.push_back({peer, at, some});
      receives_.push_back({peer, at + ranks * some, some});
    }
  }
  bool over() const { return over_; }

  void post(NcclDevice& device) override { device.transfer(sends_, receives_); }
  void collect(NcclDevice&) override {}
  bool take() override { return over_ = true; }

 private:
  static constexpr std::size_t some = 64;
  NcclBuffer bytes_;
  std::vector<NcclTransfer> sends_, receives_;
  bool over_ = false;
};

}  // namespace

NcclSession::NcclSession(World& world, NcclDevice& device, NcclId const& id, double patience_s) : world_{world}, device_{device} {
  auto const guard = world.guard("connecting the ranks over NCCL", 3 * patience_s);
  device.open(id, world.size(), world.rank());
  try {
    expect_connected(world.wait([&] { return device.settled(); }, world.in(patience_s)), patience_s);
    Greeting greeting{*this};
    begin(greeting);
    auto const greeted = [&] {
      progress();
      return greeting.over();
    };
    Status const status = world.wait(greeted, world.in(patience_s));
    give_up(greeting);
    expect_connected(status, patience_s);
  } catch (RunError const&) {
    abort();
    throw;
  }
}

void NcclSession::expect_connected(Status status, double patience_s) const {
  if (status == Status::arrived) return;
  if (status == Status::peer_gone) throw RunError(gone_ranks_sentence(world_));
  throw RunError(fmt::format("NCCL did not connect the ranks within {} s; NCCL_DEBUG=WARN shows its own messages", patience_s));
}

NcclSession::~NcclSession() {
  if (aborted_) return;
  auto const guard = world_.guard("the end of NCCL's communicator", 60 * moment);
  try {
    bool const calm = rounds_.empty() && std::uncaught_exceptions() == 0;
    if (calm) device_.finalize();
    if (calm && world_.wait([this] { return device_.settled(); }, world_.in(moment)) == Status::arrived) device_.close();
    else abort();
  } catch (RunError const&) {   // the job is over, and nothing of it is lost
    abort();
  }
}

void NcclSession::begin(Round& round) {
  rounds_.push_back(&round);
  if (rounds_.size() == 1) progress();
}

void NcclSession::progress() {
  if (rounds_.empty()) return;
  if (aborted_) throw RunError("NCCL's communicator has ended with a failure before; look at the first message");
  try {
    advance();
  } catch (RunError const&) {
    abort();
    throw;
  }
}

void NcclSession::advance() {
  while (!rounds_.empty()) {
    Round& round = *rounds_.front();
    if (phase_ == Phase::idle) {
      phase_ = Phase::queueing;
      round.post(device_);
    }
    if (!device_.settled()) return;
    if (phase_ == Phase::queueing) {
      round.collect(device_);
      device_.mark();
      phase_ = Phase::running;
    }
    if (!device_.passed()) return;
    phase_ = Phase::idle;
    if (round.take()) rounds_.erase(rounds_.begin());
  }
}

void NcclSession::give_up(Round& round) {
  auto const found = std::ranges::find(rounds_, &round);
  if (found == rounds_.end()) return;
  bool const under_way = found == rounds_.begin() && !aborted_;
  rounds_.erase(found);
  if (!under_way) return;
  abort();
  if (phase_ != Phase::running || std::uncaught_exceptions() > 0) return;
  stuck_ = true;
  try {
    stuck_ = world_.wait([this] { return device_.passed(); }, world_.in(moment)) != Status::arrived;
  } catch (RunError const&) {   // destructors give up
  }
  if (!stuck_) (void)round.take();
}

void NcclSession::abort() {
  if (aborted_) return;
  aborted_ = true;
  stuck_ = phase_ != Phase::idle;
  device_.abort();
}

void NcclHostBuffer::keep_for_ever(std::unique_ptr<PinnedBuffer> memory) {
  static std::mutex mutex;
  static auto& kept = *new std::vector<std::unique_ptr<PinnedBuffer>>;
  std::lock_guard const lock{mutex};
  kept.push_back(std::move(memory));
}

}  // namespace pikv::comm
