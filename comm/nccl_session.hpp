#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/nccl_device.hpp"
#include "comm/world.hpp"

namespace pikv::comm {

/// This rank's communicator and stream, which all exchanges of a world share: making one takes seconds and memory of the GPU. The rounds of
/// exchanges go over it one after another, in the order in which they were started, which must be the same on every rank: transfers between two
/// ranks are matched by their order alone; rounds without transfers may come at any time. (With a communicator each, kernels that wait for one
/// another in different orders might never end.)
/// Every pair is connected when it is made, while the deadline of the set-up holds, since a first transfer may wait for its peer's processor.
class NcclSession {
 public:
  /// Every rank with the same id. Throws RunError, maybe on some ranks alone, if they were not connected within `patience_s`.
  NcclSession(World& world, NcclDevice& device, NcclId const& id, double patience_s);
  ~NcclSession();
  NcclSession(NcclSession const&) = delete;   // rounds refer to it

  /// What an exchange does with one round: groups of transfers, each between copies to and from the device.
  class Round {
   public:
    /// Queues what goes in and one group.
    virtual void post(NcclDevice& device) = 0;
    /// The group is queued; queues what comes out.
    virtual void collect(NcclDevice& device) = 0;
    /// All of that is done: false if there is another group to post.
    virtual bool take() = 0;

   protected:
    ~Round() = default;
  };
  /// The round's exchange must not begin another before take() has returned true.
  void begin(Round& round);
  void progress();
  /// The exchange fails or goes away. If its round is under way the communicator ends, and with it every exchange; what had come by then is
  /// collected, if that could be done within a second.
  void give_up(Round& round);

  World& world() const { return world_; }
  DeviceMemory& memory() const { return device_.memory(); }
  /// The communicator is gone, its windows with it.
  bool ended() const { return aborted_; }
  /// Something may still run on the GPU: what it uses stays allocated.
  bool stuck() const { return stuck_; }

 private:
  enum class Phase { idle, queueing, running };
  void expect_connected(Status status, double patience_s) const;
  void advance();
  void abort();

  World& world_;
  NcclDevice& device_;
  std::vector<Round*> rounds_;   // begun and not over, the first is under way
  Phase phase_ = Phase::idle;
  bool aborted_ = false, stuck_ = false;
};

/// Memory of the GPU for as long as it lives, or for ever where something may still use it.
class NcclBuffer {
 public:
  NcclBuffer(NcclSession& session, std::size_t bytes) : session_{session}, bytes_{session.memory().allocate(bytes), bytes} {}
  ~NcclBuffer() {
    if (!session_.stuck()) session_.memory().free(bytes_.data());
  }
  NcclBuffer(NcclBuffer const&) = delete;   // frees once
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  NcclSession& session_;
  std::span<std::byte> bytes_;
};

/// The same of the host, pinned.
class NcclHostBuffer {
 public:
  NcclHostBuffer(NcclSession& session, std::size_t bytes) : session_{session}, memory_{std::make_unique<PinnedBuffer>(session.memory(), bytes)} {}
  ~NcclHostBuffer() {
    if (session_.stuck()) keep_for_ever(std::move(memory_));
  }
  NcclHostBuffer(NcclHostBuffer const&) = delete;   // owns it
  std::span<std::byte> bytes() const { return memory_->bytes(); }

 private:
  static void keep_for_ever(std::unique_ptr<PinnedBuffer> memory);

  NcclSession& session_;
  std::unique_ptr<PinnedBuffer> memory_;
};

}  // namespace pikv::comm
