#pragma once

#include <mpi.h>

#include <memory>
#include <vector>

#include "comm/mpi_world.hpp"
#include "comm/watchdog.hpp"

namespace pikv::comm {

/// Throws RunError "MPI could not WHAT: ..." unless `code` is MPI_SUCCESS.
void check_mpi(int code, char const* what);

/// The world over MPI. Set-up messages and exchanges have a communicator each; exchanges differ by tag.
class MpiWorld : public World {
 public:
  explicit MpiWorld(WorldOptions const& options);
  ~MpiWorld() override;
  MpiWorld(MpiWorld const&) = delete;   // there is one MPI

  Rank rank() const override { return rank_; }
  int size() const override { return size_; }
  int host(Rank rank) const override { return hosts_[static_cast<std::size_t>(rank)]; }
  std::string host_name(Rank rank) const override { return host_names_[static_cast<std::size_t>(rank)]; }
  bool in_process() const override { return false; }
  std::string data_path() const override { return "MPI one-sided windows and messages (" + mpi_version() + ")"; }
  double now() const override { return MPI_Wtime() - start_; }

  Status wait(FunctionRef<bool()> ready, Deadline deadline) override;
  std::vector<Bytes> all_gather(std::span<std::byte const> mine, Deadline deadline) override;
  std::unique_ptr<Exchange> make_exchange(ExchangeOptions const& options) override;
  std::unique_ptr<Transport> make_transport() override;
  std::unique_ptr<Guard> guard(char const* what, double seconds) override;
  [[noreturn]] void abort(int code, std::string const& sentence) override;

  MPI_Comm data_comm() const { return data_comm_; }
  /// Waits give up the core: there are not enough for all.
  bool yields() const { return yields_; }
  Watchdog& watchdog() { return watchdog_; }
  /// For memory that MPI may still use after a failure.
  void keep_until_finalize(std::shared_ptr<void> memory) { kept_.push_back(std::move(memory)); }

 private:
  void learn_hosts();

  bool finalize_ = false;
  bool yields_ = true;
  MPI_Comm setup_comm_ = MPI_COMM_NULL;
  MPI_Comm data_comm_ = MPI_COMM_NULL;
  Rank rank_ = 0;
  int size_ = 1;
  double start_ = 0;
  std::uint64_t gathers_ = 0;   // all_gathers entered; their tag, so that one that timed out leaves the next alone
  std::vector<int> hosts_;
  std::vector<std::string> host_names_;
  std::vector<std::shared_ptr<void>> kept_;
  Watchdog watchdog_;
};

std::unique_ptr<Exchange> make_mpi_exchange(MpiWorld& world, ExchangeOptions const& options);
std::unique_ptr<Transport> make_mpi_transport(MpiWorld& world);

}  // namespace pikv::comm
