#pragma once

#include <ucp/api/ucp.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "comm/rank.hpp"
#include "comm/world.hpp"

namespace pikv::comm {

/// Throws RunError "UCX could not WHAT: ..." unless `status` is UCS_OK or UCS_INPROGRESS.
void check_ucx(ucs_status_t status, char const* what);

/// What an active message is for. Each id has one handler.
enum class UcxMessage : unsigned { heartbeat, frame, fetch, fetched, land, landed };

/// The header of every active message of ours; data may follow.
struct UcxHeader {
  std::int32_t from = 0;
  std::int32_t channel = 0;     // frame: of the exchange; else of the transport
  std::uint64_t number = 0;     // frame: round; fetch, fetched: the transfer that asked; land, landed: the flush
  std::uint64_t region = 0;     // fetch, land: where the bytes lie
  std::uint64_t byte = 0;
  std::uint64_t bytes = 0;
};

/// What a started UCX operation tells when it ends.
class UcxCompletion {
 public:
  virtual void done(ucs_status_t status) = 0;   // under the worker's lock

 protected:
  ~UcxCompletion() = default;
};

/// A message as it came in. Its data is either here, and gone after the handler, or still at the sender: then receive() gets it.
struct UcxArrival {
  UcxHeader const& header;
  void* data;
  std::size_t bytes;
  bool at_sender;
};

/// The UCX context and worker of this process and its endpoints, used by the main thread and the progress thread (ucx_heart.hpp).
/// One lock of ours stands around every UCX call (worker mode SERIALIZED): unlike the lock of mode MULTI it also covers the state that
/// handlers and completions write, and waiting for it sleeps. Handlers and completions run under it, on either thread.
class UcxWorker {
 public:
  /// Collective. `world` must outlive it and is used for addresses alone.
  explicit UcxWorker(World& world);
  ~UcxWorker();
  UcxWorker(UcxWorker const&) = delete;   // UCX has pointers to it

  using Lock = std::lock_guard<std::mutex>;
  std::mutex& mutex() { return mutex_; }
  void progress();
  /// Under the lock. Nothing after freeze().
  void progress_locked();
  /// How often progress was made.
  std::uint64_t rounds() const { return rounds_.load(std::memory_order_relaxed); }
  /// This process unwinds, and what handlers and completions refer to goes away: they are not called any more, and nothing is closed.
  void freeze() { frozen_ = true; }

  /// Under the lock. Made on first use; throws RunError if no transport leads there. Not to this rank itself.
  ucp_ep_h endpoint(Rank to);
  ucp_context_h context() const { return context_; }
  /// UCX here moves bytes of CUDA memory by itself.
  bool reaches_cuda() const;
  /// Under the lock. Bytes there can be read without help of that rank's processor, as over shared memory and InfiniBand, not TCP.
  bool one_sided(Rank to) {
    (void)endpoint(to);
    return peers_[static_cast<std::size_t>(to)].one_sided;
  }
  /// Under the lock. "posix, sysv" or "tcp/eth0": what carries messages there.
  std::set<std::string> const& lanes(Rank to);

  using Handler = std::function<void(UcxArrival const&)>;
  /// Messages of this kind and channel go to `handler`, on either thread; those without one are dropped.
  void on(UcxMessage id, int channel, Handler handler);
  void no_longer_on(UcxMessage id, int channel);
  /// Called under the lock after each progress: what handlers may not do (start transfers, make endpoints) is done there. Returns its key.
  int after_progress(std::function<void()> action);
  void forget(int key);

  /// Under the lock. Header and data stay untouched until completion.done(), which is called once, at once or from progress.
  void send(Rank to, UcxMessage id, UcxHeader const& header, std::span<std::byte const> data, UcxCompletion& completion);
  /// Under the lock, in a handler. Gets data that is still at the sender into `into`, of at least arrival.bytes.
  void receive(UcxArrival const& arrival, std::span<std::byte> into, UcxCompletion& completion);
  /// The parameters of a UCX call that ends as completion.done(), and the end of that call itself.
  static ucp_request_param_t completes(UcxCompletion& completion);
  static void settle(ucs_status_ptr_t request, UcxCompletion& completion);

  /// UCX says so (UCP_ERR_HANDLING_MODE_PEER), or mark_gone() did. Then the world's waits end as peer_gone.
  bool any_gone() const { return any_gone_.load(std::memory_order_acquire); }
  bool gone(Rank rank) const { return peers_[static_cast<std::size_t>(rank)].gone; }
  void mark_gone(Rank rank);
  using Clock = std::chrono::steady_clock;
  /// Under the lock. When the last message came from there.
  Clock::time_point& heard(Rank from) { return peers_[static_cast<std::size_t>(from)].heard; }

  /// For memory that UCX may still use after a failure.
  void keep(std::shared_ptr<void> memory) { kept_.push_back(std::move(memory)); }
  /// Peers that close their endpoints are not gone from here on.
  void expect_end() { ending_ = true; }
  bool ending() const { return ending_; }

 private:
  struct Peer {
    UcxWorker* worker = nullptr;
    Rank rank = 0;
    ucp_ep_h endpoint = nullptr;
    std::vector<std::byte> address;
    std::set<std::string> lanes;
    bool one_sided = false;
    std::atomic<bool> gone = false;
    Clock::time_point heard;
  };
  struct Slot {
    UcxWorker* worker = nullptr;
    std::map<int, Handler> handlers;   // by channel
  };
  static ucs_status_t arrived(void* slot, void const* header, std::size_t header_bytes, void* data, std::size_t bytes,
                              ucp_am_recv_param_t const* param);
  static void failed(void* peer, ucp_ep_h endpoint, ucs_status_t status);
  void exchange_addresses();
  void close_endpoints();

  World& world_;
  ucp_context_h context_;
  ucp_worker_h worker_;
  std::mutex mutex_;
  std::vector<Peer> peers_;
  std::array<Slot, 6> slots_;   // by UcxMessage
  std::vector<std::function<void()>> actions_;
  std::vector<std::shared_ptr<void>> kept_;
  std::atomic<bool> any_gone_ = false, ending_ = false;
  std::atomic<bool> frozen_ = false;
  std::atomic<std::uint64_t> rounds_ = 0;
};

}  // namespace pikv::comm
