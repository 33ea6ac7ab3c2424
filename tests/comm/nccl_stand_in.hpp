#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "comm/nccl_device.hpp"

namespace pikv::comm::test {

/// What goes wrong, for one rank; -1: for none.
struct NcclFaults {
  Rank silent = -1;          // its stream stops before the group of this number, connecting being group 0
  Rank in_error = -1;        // NCCL says an error of it once the group of this number is queued, and has been asked about so often
  int asked = 0;
  Rank refused = -1;         // NCCL refuses its group of this number
  Rank flips = -1;           // a bit of what it sends in the group of this number arrives inverted
  int at_group = 0;
  std::size_t flipped_byte = 0;
  Rank never_opens = -1;
  Rank never_registers = -1;   // the others wait for it to make a window
  Rank no_windows = -1;        // NCCL makes none on it but the first so many
  std::size_t from_window = 0;
  Rank stops_copying = -1;     // its stream stops before the copy to a window of this number
  Rank fails_copying = -1;     // CUDA says an error of it from that copy on
  int at_copy = 0;
  Rank fails_ended = -1;       // CUDA says an error of it once its communicator has been aborted
  bool abort_ends = true;    // false: what is under way goes on for ever
};

/// Where all ranks' windows lie, and how many ranks in a row reach one another's.
struct WindowsInOne {
  DeviceMemory* memory = nullptr;
  int team = 1 << 30;
};

/// NCCL, and a GPU each, for ranks that are threads of this process. It moves bytes between memories that no processor may touch, queues what
/// NCCL would queue, settles after a while, completes a group when all of its transfers are, and throws std::logic_error on what would hang or
/// be undefined: sizes that differ, calls before it has settled, copies of memory that is not pinned, copies to what is in no open window of a rank
/// that is reached. Copies to windows are made as late as can be, when their rank has looked for them more than once, and in any order.
class NcclStandIn {
 public:
  /// `in_turns` settles after some polls, as NCCL does; where time is virtual and only stands still while somebody can go on, `at_once` does.
  enum class Pace { in_turns, at_once };
  explicit NcclStandIn(int ranks, NcclFaults const& faults = {}, unsigned seed = 1, Pace pace = Pace::in_turns, WindowsInOne const& windows = {});
  ~NcclStandIn();

  /// From any thread, once per rank.
  std::unique_ptr<NcclDevice> device(Rank rank);
  /// Transferred by a rank, connecting left out.
  int groups(Rank rank) const;
  /// Copies of a rank to windows that were made.
  int copies(Rank rank) const;
  /// Allocated and pinned still, by all ranks.
  std::size_t in_use() const;

 private:
  struct Hub;
  class Device;
  std::unique_ptr<Hub> hub_;
};

}  // namespace pikv::comm::test
