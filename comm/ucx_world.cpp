#include "comm/ucx_world.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>

#include <exception>
#include <map>

#include "comm/error.hpp"
#include "comm/setup.hpp"
#include "comm/ucx.hpp"

namespace pikv::comm {

UcxWorld::UcxWorld(WorldOptions const& options) : MpiWorld{options}, device_{options.device} {
  worker_ = std::make_unique<UcxWorker>(*this);
  heart_ = std::make_unique<UcxHeart>(*worker_, rank(), size(), options.progress, options.silence_s);
}

UcxWorld::~UcxWorld() {
  worker_->expect_end();
  if (!all_come()) worker_->freeze();   // peers may be stuck, and UCX would wait for them
  Watchdog::Alarm const alarm{watchdog(), rank(), "the closing of UCX's connections", setup_seconds};
  heart_.reset();
  worker_.reset();
}

bool UcxWorld::all_come() {
  if (std::uncaught_exceptions() > 0 || worker_->any_gone()) return false;   // the job ends
  try {
    barrier(in(setup_seconds));
    return true;
  } catch (RunError const&) {   // whoever is missing has its own sentence
    return false;
  }
}

Status UcxWorld::wait(FunctionRef<bool()> ready, Deadline deadline) {
  constexpr int patience = 2000;   // polls before the core is yielded even where every rank has one
  struct Waiting {
    explicit Waiting(UcxHeart& heart) : heart_{heart} { heart.set_waiting(true); }
    ~Waiting() { heart_.set_waiting(false); }
    UcxHeart& heart_;
  };
  if (heart_ == nullptr) return MpiWorld::wait(ready, deadline);   // addresses are being told
  Waiting const waiting{*heart_};
  for (int polls = 0;; ++polls) {
    auto const rounds = worker_->rounds();
    if (ready()) return Status::arrived;
    if (worker_->any_gone()) return Status::peer_gone;
    if (auto const trouble = heart_->trouble(); !trouble.empty()) throw RunError(trouble);
    if (now() >= deadline.at) return Status::timeout;
    if (worker_->rounds() == rounds) worker_->progress();   // ready() made none
    if (yields() || polls >= patience) ::sched_yield();
  }
}

std::unique_ptr<Exchange> UcxWorld::make_exchange(ExchangeOptions const& options) { return make_ucx_exchange(*this, options); }
std::unique_ptr<Transport> UcxWorld::make_transport() { return make_ucx_transport(*this); }

std::string UcxWorld::data_path() const {
  std::map<std::string, int> ranks_by_lanes;
  UcxWorker::Lock const lock{worker_->mutex()};
  for (Rank to = 0; to < size(); ++to)
    if (to != rank()) ++ranks_by_lanes[fmt::format("{}", fmt::join(worker_->lanes(to), " and "))];
  std::string text = "UCX " + ucx_version();
  for (auto const& [lanes, ranks] : ranks_by_lanes) text += fmt::format(", {} to {} of {} other ranks", lanes, ranks, size() - 1);
  return device_path_.empty() ? text : text + ", device memory " + device_path_;
}

bool ucx_built_in() { return true; }

std::unique_ptr<World> make_ucx_world(WorldOptions const& options) { return std::make_unique<UcxWorld>(options); }

std::string ucx_version() { return ucp_get_version_string(); }

}  // namespace pikv::comm
