#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "comm/transport.hpp"
#include "comm/ucx_worker.hpp"

namespace pikv::comm {

/// What this rank has put into peers' device memory that UCX cannot reach. Such a put lands in host memory of the peer; a flush asks the peer to copy
/// what landed since the flush before, range by range, and ends when all is in its device memory. Flushes of a peer end in their order.
/// All under the worker's lock.
class UcxLandings {
 public:
  UcxLandings(UcxWorker& worker, Rank self, int ranks, int channel)
      : worker_{worker}, self_{self}, channel_{channel}, peers_(static_cast<std::size_t>(ranks)) {}
  UcxLandings(UcxLandings const&) = delete;   // UCX has pointers into it

  /// Notes a put that was started.
  void put(Rank to, Offset at, std::size_t bytes);
  /// A flush of the endpoint is not enough there.
  bool needed(Rank to) const { return !peer(to).since.empty() || !peer(to).flushes.empty(); }
  /// `flush` is done when all puts noted before are in the device memory of `to`.
  void flush(Rank to, UcxCompletion& flush);
  /// From a handler: the peer has copied a range.
  void copied(UcxHeader const& answer);
  /// After progress.
  void go_on();
  /// UCX refers to nothing here.
  bool all_sent() const;

 private:
  struct Flush : UcxCompletion {
    void done(ucs_status_t with) override;
    bool ended() const { return under_way == 0 && (status != UCS_OK || (asked && to_copy == 0)); }
    std::uint64_t number = 0;
    std::vector<UcxHeader> ranges;
    UcxCompletion* whole = nullptr;
    std::size_t under_way = 0;   // the endpoint's flush, then the requests
    std::size_t to_copy = 0;     // ranges that the peer has not answered for
    bool asked = false;
    ucs_status_t status = UCS_OK;
  };
  struct Peer {
    std::vector<UcxHeader> since;    // put since the last flush
    std::vector<Flush*> flushes;     // oldest first
  };
  Peer& peer(Rank rank) { return peers_[static_cast<std::size_t>(rank)]; }
  Peer const& peer(Rank rank) const { return peers_[static_cast<std::size_t>(rank)]; }
  void ask(Rank to, Flush& flush);

  UcxWorker& worker_;
  Rank self_;
  int channel_;
  std::uint64_t numbers_ = 0;
  std::size_t under_way_ = 0;   // flushes, of all peers
  std::vector<Peer> peers_;
  std::deque<Flush> flushes_;   // stay where they are
  std::vector<Flush*> free_;
};

}  // namespace pikv::comm
