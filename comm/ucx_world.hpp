#pragma once

#include "comm/device_memory.hpp"
#include "comm/framed_exchange.hpp"
#include "comm/mpi_context.hpp"
#include "comm/ucx_heart.hpp"
#include "comm/ucx_worker.hpp"

namespace pikv::comm {

/// MPI for start-up and for what HDF5 needs of it, UCX for everything on the data path.
class UcxWorld : public MpiWorld {
 public:
  explicit UcxWorld(WorldOptions const& options);
  ~UcxWorld() override;

  Status wait(FunctionRef<bool()> ready, Deadline deadline) override;
  std::unique_ptr<Exchange> make_exchange(ExchangeOptions const& options) override;
  std::unique_ptr<Transport> make_transport() override;
  std::string data_path() const override;
  std::string why_no_device_memory() const override { return device().why_absent(); }
  bool known_gone(Rank rank) const override { return worker_->gone(rank); }

  UcxWorker& worker() const { return *worker_; }
  /// This rank's GPU; asking wakes it.
  DeviceMemory& device() const { return device_ != nullptr ? *device_ : gpu_memory(); }
  /// For data_path(), from the first device region on.
  void set_device_path(std::string_view how) { device_path_ = how; }
  /// Collective, for destructors: whether every rank came here, so that nothing of the others is under way any more. Does not throw.
  bool all_come();
  /// Transports are made collectively, so that equal numbers belong together.
  int next_transport() { return transports_++; }

 private:
  DeviceMemory* device_;
  std::string device_path_;
  std::unique_ptr<UcxWorker> worker_;
  std::unique_ptr<UcxHeart> heart_;
  int transports_ = 0;
};

std::unique_ptr<Exchange> make_ucx_exchange(UcxWorld& world, ExchangeOptions const& options);
std::unique_ptr<Transport> make_ucx_transport(UcxWorld& world);

}  // namespace pikv::comm
