#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "shards/arena.hpp"
#include "shards/counts.hpp"
#include "shards/owner.hpp"
#include "shards/store_options.hpp"

namespace pikv::shards {

/// The background scrub: walks round and round over the slots of a rank and verifies the pages in use there: those it has indexed for
/// others, its own sealed ones, copies. A step pays for scrub_bytes_per_step of payload; what is too little for a page is saved for the
/// next. With P pages of B bytes in N slots a round takes at most (P + 1) B / scrub_bytes_per_step + N / most_looks + 1 steps. Writers only
/// put into slots that are lent, and open pages and gets under way have no ready header, so nothing that changes is ever verified.
class Scrub {
 public:
  static constexpr std::size_t most_looks = 4096;   // slots looked at in a step, most of them perhaps empty

  Scrub(Arena& arena, Owner const& owner, StoreOptions const& options, Counts& counts);

  /// Verifies the next pages. Returns the slots of those that are not what they were when they came there; valid until the next call.
  std::span<Slot const> step();

 private:
  bool holds_page(Slot slot);
  bool sound(Slot slot);

  Arena& arena_;
  Owner const& owner_;
  StoreOptions const& options_;
  Counts& counts_;
  std::size_t credit_ = 0;   // bytes that may be hashed
  std::size_t next_ = 0;
  std::vector<Slot> rotten_;
};

}   // namespace pikv::shards
