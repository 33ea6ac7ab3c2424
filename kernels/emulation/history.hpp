#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace pikv::kernels::emulation {

/// A moment: a new one begins with every block and at every barrier of it. Those below `first_moment` say what a byte is before any launch.
using Moment = std::uint32_t;
inline constexpr Moment not_allocated = 0, not_written = 1, written_by_host = 2, first_moment = 3;

/// A thread of the running block, and how many __syncwarp its lane has passed since the last barrier.
struct Place {
  std::uint16_t thread;
  std::uint16_t tick;
  unsigned warp() const { return thread / 32u; }
  unsigned lane() const { return thread % 32u; }
};

/// Which accesses of a launch come before which: barriers order a block, __syncwarp the lanes of its mask, and nothing the blocks.
class History {
 public:
  void start_launch() { launch_first_ = ++now_; }
  void start_block(unsigned threads) {
    block_first_ = ++now_;
    warps_.assign((threads + 31) / 32, {});
  }
  void pass_barrier() {
    ++now_;
    std::fill(warps_.begin(), warps_.end(), Warp{});
  }
  void sync_lanes(unsigned warp, unsigned mask);

  Moment now() const { return now_; }
  bool in_this_launch(Moment moment) const { return moment >= launch_first_; }
  bool in_this_block(Moment moment) const { return moment >= block_first_; }
  Place place(unsigned thread) const { return {static_cast<std::uint16_t>(thread), warps_[thread / 32].tick[thread % 32]}; }
  /// Whether `me` comes after what the other lane of its warp did at that tick, since the last barrier.
  bool has_seen(Place me, unsigned lane, std::uint16_t tick) const { return warps_[me.warp()].seen[me.lane()][lane] > tick; }

 private:
  struct Warp {
    std::array<std::uint16_t, 32> tick{};
    std::array<std::array<std::uint16_t, 32>, 32> seen{};   // [of][lane]: the tick up to which `of` knows what the lane did
  };

  Moment now_ = first_moment, launch_first_ = first_moment, block_first_ = first_moment;
  std::vector<Warp> warps_;
};

/// What is known of one byte: who wrote it last, and who has read it since.
struct Cell {
  Moment written = not_allocated;
  Moment read = 0;
  std::uint32_t read_lanes = 0;   // of that warp at that moment, those that none of the others comes after
  std::uint16_t writer = 0, written_tick = 0, read_tick = 0;
  std::uint8_t read_warp = 0;   // many_warps: of more than one
  bool written_by_atomic = false;
};
inline constexpr std::uint8_t many_warps = 255;

enum class Kind : std::uint8_t { read, write, atomic };
enum class Finding : std::uint8_t { fine, outside, unwritten, races_with_write, races_with_read };

/// Is the access in order, by what the cell says? Then the cell notes it.
Finding note_access(Cell& cell, Kind kind, Place me, History const& history, bool shared);

}  // namespace pikv::kernels::emulation
